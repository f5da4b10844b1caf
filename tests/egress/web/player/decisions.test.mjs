// The player's decisions, by tables: `node --test`, which tests/egress/web/test_player.py runs.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  ABSENT_MS, BACKOFF_MS, Decisions, Failure, MAX_WAIT_MS, QUIET_MS, STALL_MS, START_MS, STEADY_MS,
  failureOf, playable, renditionFor, retryAfterMs,
} from "../../../../egress/web/player/decisions.mjs";

const ALL = { ways: ["whep", "hls", "flv", "native"] };
const LOST = { kind: Failure.LOST };
const opened = (actions) => actions.filter((one) => one.do === "open").map((one) => one.way);
const asks = (actions) => actions.some((one) => one.do === "ask");

function started({ ways = ALL.ways, way = "" } = {}) {
  const machine = new Decisions(undefined, () => 0.5);
  assert.ok(asks(machine.start(0, "", way)));
  return [machine, machine.known(0, { ways })];
}

function playing(way = "whep") {
  const [machine, actions] = started({ ways: [way, "flv"] });
  assert.deepEqual(opened(actions), [way]);
  machine.shown(0);
  return machine;
}

for (const [status, kind] of [
  [0, Failure.LOST], [400, Failure.UNSUPPORTED], [401, Failure.REFUSED], [403, Failure.REFUSED],
  [404, Failure.ABSENT], [406, Failure.UNSUPPORTED], [410, Failure.REFUSED],
  [415, Failure.UNSUPPORTED], [429, Failure.BUSY], [500, Failure.LOST], [502, Failure.LOST],
  [503, Failure.BUSY], [504, Failure.LOST],
]) {
  test(`status ${status} means ${kind}`, () => assert.equal(failureOf(status), kind));
}

for (const [header, ms] of [
  [null, 0], ["", 0], ["1", 1000], ["0", 0], ["-5", 0], ["999999", MAX_WAIT_MS], ["soon", 0],
  [new Date(5000).toUTCString(), 4000], [new Date(0).toUTCString(), 0],
]) {
  test(`Retry-After ${header} is ${ms} ms`, () => assert.equal(retryAfterMs(header, 1000), ms));
}

const LADDER = [
  { name: "source", height: 1080 }, { name: "720p", height: 720 }, { name: "480p", height: 480 },
  { name: "360p", height: 360 },
];
for (const [height, name] of [
  [0, "360p"], [360, "360p"], [361, "480p"], [700, "720p"], [720, "720p"], [2000, "720p"],
]) {
  test(`a view of ${height} lines takes ${name}`, () => assert.equal(renditionFor(LADDER, height), name));
}
test("a stream that has its source alone gives that, and one without any nothing", () => {
  assert.equal(renditionFor([{ name: "source", height: 720 }], 100), "source");
  assert.equal(renditionFor([], 100), "");
});

test("renditions that this browser cannot show are not offered, and none but H.264 is chosen by itself", () => {
  const mixed = [
    { name: "hevc", height: 1080, codec: "h265" }, { name: "web", height: 720, codec: "av1" },
    { name: "360p", height: 360, codec: "h264" }, { name: "source", height: 0, codec: "" },
  ];
  const names = (takes) => playable(mixed, takes).map((one) => one.name);
  assert.deepEqual(names(() => true), ["hevc", "web", "360p", "source"]);
  assert.deepEqual(names((type) => type.includes("av01")), ["web", "360p", "source"]);
  assert.deepEqual(names(() => false), ["360p", "source"]);
  assert.equal(renditionFor(mixed, 1080), "360p");
});

test("the first way that shows a picture is kept", () => {
  const [machine, actions] = started();
  assert.deepEqual(opened(actions), ["whep"]);
  assert.equal(machine.phase, "opening");
  machine.shown(300);
  assert.equal(machine.phase, "playing");
  for (let now = 1000; now < 60000; now += 1000) {
    assert.deepEqual(machine.shown(now), []);
    assert.deepEqual(machine.tick(now), []);
  }
});

test("a way that shows nothing in its time gives way to the next, down to the last", () => {
  const [machine] = started();
  let now = 0;
  for (const [way, next] of [["whep", "hls"], ["hls", "flv"], ["flv", "native"]]) {
    now += START_MS[way];
    assert.deepEqual(machine.tick(now - 1), []);
    assert.deepEqual(opened(machine.tick(now)), [next]);
  }
  now += START_MS.native;
  assert.deepEqual(opened(machine.tick(now)), []);
  assert.equal(machine.phase, "waiting");
  now = machine.dueAt;
  assert.ok(asks(machine.tick(now)));
  assert.deepEqual(opened(machine.known(now, ALL)), ["whep"]);
});

test("a way that cannot be here is not tried again, with this rendition", () => {
  const [machine] = started({ ways: ["whep", "flv"] });
  const unfit = { kind: Failure.UNSUPPORTED, words: "no B-frames" };
  assert.deepEqual(opened(machine.failed(10, unfit)), ["flv"]);
  machine.failed(20, LOST);
  assert.ok(asks(machine.tick(machine.dueAt)));
  assert.deepEqual(opened(machine.known(9000, ALL)), ["hls"], "a way that the server has now");
  machine.start(20000, "720p");
  assert.deepEqual(opened(machine.known(20000, ALL)), ["whep"], "another rendition may fit");
});

test("where no way fits, the last one's words are said and nothing is tried", () => {
  const [machine] = started({ ways: ["whep"] });
  machine.failed(10, { kind: Failure.UNSUPPORTED, words: "no H.264 here" });
  assert.equal(machine.phase, "refused");
  assert.equal(machine.words, "no H.264 here");
  assert.equal(machine.dueAt, Infinity);
});

test("a refusal ends it until somebody asks again", () => {
  const machine = new Decisions(undefined, () => 0.5);
  machine.start(0);
  machine.unknown(5, { kind: Failure.REFUSED, words: "a key is needed" });
  assert.deepEqual([machine.phase, machine.words, machine.dueAt], ["refused", "a key is needed", Infinity]);
  assert.deepEqual(machine.wake(9), []);
  assert.ok(asks(machine.start(10)));
  const other = playing();
  other.failed(50, { kind: Failure.REFUSED, words: "ended by the operator" });
  assert.equal(other.phase, "refused");
});

test("a stream that is not there is asked for every two seconds, and no way is tried", () => {
  const machine = new Decisions(undefined, () => 0.5);
  machine.start(0);
  let now = 0;
  for (let look = 0; look < 20; look += 1) {
    assert.deepEqual(machine.unknown(now, { kind: Failure.ABSENT, words: "nobody publishes it" }), []);
    assert.equal(machine.phase, "waiting");
    assert.equal(machine.words, "nobody publishes it");
    assert.ok(machine.dueAt - now >= ABSENT_MS && machine.dueAt - now <= BACKOFF_MS.at(-1));
    now = machine.dueAt;
    assert.ok(asks(machine.tick(now)));
  }
  assert.deepEqual(opened(machine.known(now, ALL)), ["whep"]);
});

test("a server that asks for patience gets it, up to a limit", () => {
  const machine = new Decisions(undefined, () => 0.5);
  machine.start(0);
  machine.unknown(0, { kind: Failure.BUSY, afterMs: 7000 });
  assert.equal(machine.dueAt, 7000);
  machine.tick(7000);
  machine.unknown(7000, { kind: Failure.BUSY, afterMs: 1e9 });
  assert.equal(machine.dueAt, 7000 + MAX_WAIT_MS);
});

test("a way that has no room gives way to the next; where none has any it waits as it is told", () => {
  const [machine] = started({ ways: ["whep", "flv"] });
  const full = { kind: Failure.BUSY, afterMs: 3000 };
  assert.deepEqual(opened(machine.failed(10, full)), ["flv"]);
  assert.deepEqual(opened(machine.failed(20, full)), []);
  assert.deepEqual([machine.phase, machine.dueAt], ["waiting", 3020]);
});

test("a way that says the stream is not there, though the server said it is, gives way to the next", () => {
  const [machine] = started({ ways: ["whep", "flv"] });
  const absent = { kind: Failure.ABSENT, words: "nobody publishes it" };
  assert.deepEqual(opened(machine.failed(10, absent)), ["flv"]);
  assert.deepEqual(opened(machine.failed(20, absent)), []);
  assert.deepEqual([machine.phase, machine.words], ["waiting", "nobody publishes it"]);
  assert.equal(machine.dueAt, 20 + ABSENT_MS);
});

test("a stream that ends while it plays is waited for, by the same way", () => {
  const machine = playing();
  machine.shown(STEADY_MS);
  machine.failed(20000, { kind: Failure.ABSENT, words: "it has ended" });
  assert.deepEqual([machine.phase, machine.dueAt], ["waiting", 20000 + ABSENT_MS]);
  machine.tick(machine.dueAt);
  assert.deepEqual(opened(machine.known(23000, ALL)), ["whep"]);
});

test("what was playing and is lost is played again by the same way, soon", () => {
  const machine = playing();
  machine.shown(STEADY_MS);
  assert.deepEqual(machine.failed(20000, LOST), [{ do: "close" }]);
  assert.equal(machine.dueAt, 20000 + BACKOFF_MS[0]);
  assert.ok(asks(machine.tick(machine.dueAt)));
  assert.deepEqual(opened(machine.known(20300, ALL)), ["whep"]);
});

test("who comes back waits longer each time, until it has played for a while", () => {
  const [machine] = started({ ways: ["flv"] });
  let now = 0;
  for (const wait of [...BACKOFF_MS, BACKOFF_MS.at(-1)]) {
    machine.failed(now, LOST);
    assert.equal(machine.dueAt - now, wait);
    now = machine.dueAt;
    machine.tick(now);
    machine.known(now, { ways: ["flv"] });
  }
  machine.shown(now);
  machine.shown(now + STEADY_MS);
  now += STEADY_MS;
  machine.failed(now, LOST);
  assert.equal(machine.dueAt - now, BACKOFF_MS[0]);
});

test("a way that is lost again and again before it is steady gives way to the next", () => {
  const machine = playing();
  let now = 0;
  const took = [];
  for (let loss = 0; loss < 3; loss += 1) {
    machine.failed(now + 100, LOST);
    now = machine.dueAt;
    machine.tick(now);
    took.push(...opened(machine.known(now, ALL)));
    machine.shown(now);
  }
  assert.deepEqual(took, ["whep", "whep", "hls"]);
});

test("what cannot be shown, though it comes, gives way to the next at once", () => {
  const machine = playing();
  assert.deepEqual(opened(machine.failed(9000, { kind: Failure.BROKEN })), ["flv"]);
});

test("pictures that stop coming are said, and later the way is opened anew", () => {
  const machine = playing();
  assert.ok(!machine.isQuiet(QUIET_MS));
  assert.ok(machine.isQuiet(QUIET_MS + 1));
  assert.deepEqual(machine.tick(STALL_MS.whep - 1), []);
  assert.deepEqual(machine.tick(STALL_MS.whep), [{ do: "close" }]);
  assert.equal(machine.phase, "waiting");
});

test("what is waited for is tried at once when the network is back", () => {
  const machine = playing();
  for (let look = 0; look < 5; look += 1) {
    machine.failed(100, LOST);
    machine.tick(machine.dueAt);
    machine.unknown(200, LOST);
  }
  assert.ok(machine.dueAt > 1000);
  assert.ok(asks(machine.wake(300)));
});

test("a way that somebody chose is the only one", () => {
  const [machine, actions] = started({ way: "flv" });
  assert.deepEqual(opened(actions), ["flv"]);
  machine.tick(START_MS.flv);
  assert.equal(machine.phase, "waiting");
  const [none] = started({ ways: ["hls"], way: "whep" });
  assert.equal(none.phase, "refused");
});

test("events of what is closed, and of what nobody waits for, do nothing", () => {
  const machine = playing();
  assert.deepEqual(machine.stop(), [{ do: "close" }]);
  assert.deepEqual(machine.stop(), []);
  assert.deepEqual(machine.failed(1, LOST), []);
  assert.deepEqual(machine.known(1, ALL), []);
  assert.deepEqual(machine.unknown(1, LOST), []);
  assert.deepEqual(machine.shown(1), []);
  assert.deepEqual(machine.tick(1e9), []);
  assert.deepEqual(machine.wake(1), []);
});

test("whatever happens, it is playing, refused, stopped, or something is due or asked for", () => {
  let seed = 7;
  const random = () => { seed = (seed * 16807) % 2147483647; return seed / 2147483647; };
  const kinds = Object.values(Failure);
  const any = (list) => list[Math.floor(random() * list.length)];
  for (let run = 0; run < 300; run += 1) {
    const machine = new Decisions(undefined, random);
    let now = 0;
    let isOpen = false;
    machine.start(now);
    for (let step = 0; step < 60; step += 1) {
      now += Math.floor(random() * 8000);
      const actions = any([
        () => machine.shown(now), () => machine.tick(now), () => machine.wake(now),
        () => machine.failed(now, { kind: any(kinds), words: "w" }),
        () => machine.known(now, { ways: ALL.ways.filter(() => random() < 0.6) }),
        () => machine.unknown(now, { kind: any(kinds), afterMs: random() * 1e5 }),
        () => machine.start(now, any(["", "720p"]), any(["", "", "hls"])),
      ])();
      for (const action of actions) {
        if (action.do === "open") { assert.ok(!isOpen, "never two ways at once"); isOpen = true; }
        if (action.do === "close") isOpen = false;
      }
      assert.equal(isOpen, machine.way !== "");
      const waits = { opening: true, playing: true, waiting: true }[machine.phase] ?? false;
      assert.equal(Number.isFinite(machine.dueAt), waits, machine.phase);
      assert.ok(!waits || machine.dueAt <= now + 1.2 * MAX_WAIT_MS);
    }
  }
});
