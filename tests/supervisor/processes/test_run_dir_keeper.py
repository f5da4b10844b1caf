"""supervisor/processes/run_dir_keeper.py: who is started anew for its sockets' sake, and when."""

from supervisor.processes.run_dir_keeper import CUT_OFF_S, CutOff
from tests.kit.children import CPU0, CPU1


def test_a_child_has_time_to_bind_its_sockets_again() -> None:
    cut_off = CutOff()
    assert cut_off.next_one([CPU0], 10.0, all_run=True) is None
    assert cut_off.next_one([], 11.0, all_run=True) is None
    assert cut_off.next_one([CPU0], 12.0, all_run=True) is None
    assert cut_off.next_one([CPU0], 12.0 + CUT_OFF_S, all_run=True) == CPU0


def test_one_at_a_time_while_all_others_run() -> None:
    cut_off = CutOff()
    cut_off.next_one([CPU0, CPU1], 0.0, all_run=True)
    assert cut_off.next_one([CPU0, CPU1], CUT_OFF_S, all_run=True) == CPU0
    assert cut_off.next_one([CPU1], CUT_OFF_S + 1, all_run=False) is None
    assert cut_off.next_one([CPU1], CUT_OFF_S + 2, all_run=True) == CPU1
