// How near to the live edge it plays, by tables and in simulated time.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  FAST_RATE, JUMP_S, LiveEdge, MARGIN_S, MOST_S, SLACK_S, START_MS,
} from "../../../../egress/web/player/live_edge.mjs";

function edge() {
  const made = new LiveEdge();
  made.begin(0);
  return made;
}

for (const [name, now, state, wanted] of [
  ["at its margin it plays on", 9e3, { begin: 0, end: 10, time: 10 - MARGIN_S }, { rate: 1, seek: null }],
  ["a little behind too", 9e3, { begin: 0, end: 10, time: 10 - MARGIN_S - SLACK_S + 0.01 }, { rate: 1, seek: null }],
  ["further behind it is faster", 9e3, { begin: 0, end: 10, time: 9 }, { rate: FAST_RATE, seek: null }],
  ["far behind it jumps", 9e3, { begin: 0, end: 10, time: 10 - MARGIN_S - JUMP_S - 0.1 }, { rate: 1, seek: 10 - MARGIN_S }],
  ["at the start it jumps sooner", 100, { begin: 0, end: 2, time: 0 }, { rate: 1, seek: 2 - MARGIN_S }],
  ["before what there is it jumps into it", 9e3, { begin: 5, end: 5.1, time: 3 }, { rate: 1, seek: 5 }],
]) {
  test(name, () => assert.deepEqual(edge().follow(now, state), wanted));
}

test("who caught up goes at its own pace again, and not before", () => {
  const made = edge();
  let time = 0;
  const rates = [];
  for (let step = 0; step < 400; step += 1) {
    const { rate } = made.follow(START_MS + 50 * step, { begin: 0, end: 1.2 + step * 0.05, time });
    time += 0.05 * rate;
    rates.push(rate);
  }
  const changes = rates.filter((rate, at) => at && rate !== rates[at - 1]).length;
  assert.equal(changes, 1);
  assert.equal(rates.at(-1), 1);
});

test("stalls make the margin larger, up to a limit; calm makes it smaller again", () => {
  const made = edge();
  made.stalled(START_MS - 1);
  assert.equal(made.margin, MARGIN_S, "at the start it has not run out: it begins");
  let last = made.margin;
  for (let stall = 0; stall < 20; stall += 1) {
    made.stalled(5000 + stall);
    assert.ok(made.margin >= last && made.margin <= MOST_S);
    last = made.margin;
  }
  assert.equal(made.margin, MOST_S);
  for (let now = 6000; now < 1e6; now += 1000) {
    made.follow(now, { begin: 0, end: 10, time: 10 - made.margin });
  }
  assert.equal(made.margin, MARGIN_S);
});
