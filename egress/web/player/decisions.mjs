// What the player does next: which way it takes to a stream, when it tries another, and what it says
// meanwhile. Pure: events with their time in, actions out; no DOM, no clock, no network.
//
// A way is tried until it shows a picture. One that has shown pictures is kept through losses; one
// that shows none gives way to the next. After the last one it begins anew, later each time. Before
// each round it asks the server what there is and whether it may have it, so that a refusal is said
// in the server's words, and a stream that is not there is waited for without trying all ways.

export const WAYS = ["whep", "hls", "flv", "native"];

// For the first picture: WebRTC's packets may be dropped silently by a firewall, so it has the least.
export const START_MS = { whep: 5000, hls: 10000, flv: 8000, native: 12000 };
export const QUIET_MS = 1500;  // without a new picture: it is said
export const STALL_MS = { whep: 4000, hls: 8000, flv: 6000, native: 15000 };  // … and it is opened anew
export const STEADY_MS = 10000;  // who has played so long has no failures behind it
export const BACKOFF_MS = [250, 500, 1000, 2000, 4000, 5000];
export const ABSENT_MS = 2000;  // between looks for a stream that is not there
export const MAX_WAIT_MS = 30000;  // whatever a server asks for
const UNSTEADY = 3;  // losses without being steady in between: the next way

// How a try ended.
export const Failure = {
  REFUSED: "refused",  // by rule: it ends here until somebody asks for it again
  ABSENT: "absent",  // there is no such stream now
  BUSY: "busy",  // there is no room, or nobody to answer: later, and another way perhaps now
  UNSUPPORTED: "unsupported",  // this way and this rendition do not fit here: never again
  BROKEN: "broken",  // it came and could not be shown
  LOST: "lost",  // the connection, or the server
};

// What an answer's status says; 0: there was no answer.
export function failureOf(status) {
  if (status === 401 || status === 403 || status === 410) return Failure.REFUSED;
  if (status === 404) return Failure.ABSENT;
  if (status === 429 || status === 503) return Failure.BUSY;
  if (status >= 400 && status < 500) return Failure.UNSUPPORTED;
  return Failure.LOST;
}

// Seconds or a date, as RFC 9110 has it; 0: none, or none that can be read.
export function retryAfterMs(header, nowUnixMs) {
  if (!header) return 0;
  const seconds = Number(header);
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - nowUnixMs;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_WAIT_MS) : 0;
}

// What browsers ask of Media Source Extensions for each codec that renditions are made of; all play H.264.
const MEDIA_TYPES = {
  h265: 'video/mp4; codecs="hvc1.1.6.L93.B0"',
  av1: 'video/mp4; codecs="av01.0.05M.08"',
};

// The renditions that this browser can show; `takes` is MediaSource.isTypeSupported.
export function playable(renditions, takes) {
  return renditions.filter((one) => !(one.codec in MEDIA_TYPES) || takes(MEDIA_TYPES[one.codec]));
}

// The rendition for a view of this height, of those that are encoded here (the source may have what
// browsers do not play) as H.264: the smallest that fills it, else the largest; the source where it is all.
export function renditionFor(renditions, height) {
  const made = renditions.filter((one) => one.name !== "source" && !(one.codec in MEDIA_TYPES));
  if (!made.length) return renditions[0]?.name ?? "";
  const up = [...made].sort((one, other) => one.height - other.height);
  return (up.find((one) => one.height >= height) ?? up.at(-1)).name;
}

const isFinal = (kind) => kind === Failure.REFUSED;

export class Decisions {
  // "asking", "opening", "playing", "waiting", "refused", "stopped"
  phase = "stopped";
  way = "";  // that is open
  words = "";  // of the last failure, for people
  dueAt = Infinity;  // when `tick` has something to do
  hasShown = false;  // since the way was opened
  #ways;
  #rendition = "";
  #random;
  #unfit = new Set();  // "way/rendition"
  #tried = new Set();  // in this round
  #chosen = "";  // the way that somebody asked for
  #failures = 0;  // since it was steady
  #losses = new Map();  // of each way, since it was steady
  #shownMs = 0;  // the last picture
  #steadySinceMs = 0;

  // `random` gives numbers in 0..1, so that not all viewers come back at the same moment.
  constructor(ways = WAYS, random = Math.random) {
    this.#ways = ways;
    this.#random = random;
  }

  // Somebody wants to watch: a rendition, "" for automatic; by a way, "" for automatic.
  start(now, rendition = "", way = "") {
    const actions = this.stop();
    this.#rendition = rendition;
    this.#chosen = way;
    if (way) this.#unfit.delete(this.#pair(way));
    this.#tried.clear();
    this.#losses.clear();
    this.#failures = 0;
    return [...actions, ...this.#ask()];
  }

  stop() {
    const actions = this.way ? [{ do: "close" }] : [];
    this.way = "";
    this.phase = "stopped";
    this.words = "";
    this.dueAt = Infinity;
    return actions;
  }

  // The server's answer to `ask`: the ways that it serves this stream by.
  known(now, { ways }) {
    if (this.phase !== "asking") return [];
    this.#ways = WAYS.filter((way) => ways.includes(way));
    const next = this.#next();
    if (next) return this.#open(next, now);
    const words = this.words || "This browser plays none of the ways that this server offers.";
    return this.#refuse(words);
  }

  // The server does not let us in, or has nothing, or does not answer `ask`.
  unknown(now, failure) {
    if (this.phase !== "asking") return [];
    this.words = failure.words ?? "";
    if (isFinal(failure.kind)) return this.#refuse(this.words);
    this.#wait(now, failure);
    return [];
  }

  // The open way has shown a new picture.
  shown(now) {
    if (!this.way) return [];
    if (!this.hasShown) {
      this.hasShown = true;
      this.#steadySinceMs = now;
      this.phase = "playing";
      this.words = "";
    }
    this.#shownMs = now;
    if (now - this.#steadySinceMs >= STEADY_MS) {
      this.#failures = 0;
      this.#losses.clear();
      this.#tried.clear();
    }
    this.dueAt = now + STALL_MS[this.way];
    return [];
  }

  // True while pictures were there and none comes.
  isQuiet(now) { return this.phase === "playing" && now - this.#shownMs > QUIET_MS; }

  // The open way has ended: {kind, words, afterMs}.
  failed(now, failure) {
    if (!this.way) return [];
    const way = this.way;
    this.way = "";
    this.words = failure.words ?? "";
    const close = { do: "close" };
    if (isFinal(failure.kind)) return [close, ...this.#refuse(this.words)];
    if (failure.kind === Failure.UNSUPPORTED) {
      this.#unfit.add(this.#pair(way));
      return [close, ...this.#another(now, failure)];
    }
    if (failure.kind === Failure.ABSENT && this.hasShown) {
      this.#tried.clear();  // that it has ended says nothing of the way
      this.#wait(now, failure);
      return [close];
    }
    // The server has just said that the stream is there, and this way served: another one may work.
    if (!this.hasShown || failure.kind === Failure.BROKEN || failure.kind === Failure.BUSY) {
      this.#tried.add(way);
      return [close, ...this.#another(now, failure)];
    }
    const losses = (this.#losses.get(way) ?? 0) + 1;
    this.#losses.set(way, losses);
    if (losses >= UNSTEADY) {
      this.#losses.delete(way);
      this.#tried.add(way);
    } else {
      this.#tried.clear();
    }
    this.#wait(now, failure);
    return [close];
  }

  // `dueAt` is reached.
  tick(now) {
    if (now < this.dueAt) return [];
    if (this.phase === "waiting") return this.#ask();
    const isOver = this.phase === "opening" || this.phase === "playing";
    if (!isOver) return [];
    const words = this.hasShown ? "No pictures come." : "";
    return this.failed(now, { kind: Failure.LOST, words });
  }

  // The network is back, or somebody looks again: what is waited for is tried at once.
  wake(now) {
    if (this.phase !== "waiting") return [];
    this.#failures = 0;
    this.dueAt = now;
    return this.tick(now);
  }

  // ---- inside -------------------------------------------------------------------------------

  #pair(way) { return `${way}/${this.#rendition}`; }

  #candidates() {
    const ways = this.#chosen ? [this.#chosen] : this.#ways;
    return ways.filter((way) => this.#ways.includes(way) && !this.#unfit.has(this.#pair(way)));
  }

  #next() {
    const candidates = this.#candidates();
    const fresh = candidates.find((way) => !this.#tried.has(way));
    if (fresh || !candidates.length) return fresh ?? "";
    this.#tried.clear();  // a new round
    return candidates[0];
  }

  #open(way, now) {
    this.way = way;
    this.hasShown = false;
    this.phase = "opening";
    this.#shownMs = now;
    this.dueAt = now + START_MS[way];
    return [{ do: "open", way }];
  }

  #ask() {
    this.phase = "asking";
    this.dueAt = Infinity;
    return [{ do: "ask" }];
  }

  // The next way at once, if there is one in this round.
  #another(now, failure) {
    const next = this.#candidates().find((way) => !this.#tried.has(way));
    if (next) return this.#open(next, now);
    if (!this.#candidates().length) return this.#refuse(this.words || "This cannot be shown here.");
    this.#wait(now, failure);
    return [];
  }

  #wait(now, failure) {
    this.phase = "waiting";
    const own = BACKOFF_MS[Math.min(this.#failures, BACKOFF_MS.length - 1)];
    this.#failures += 1;
    const least = failure.kind === Failure.ABSENT ? ABSENT_MS : failure.afterMs ?? 0;
    const wait = Math.min(Math.max(own, least), MAX_WAIT_MS);
    this.dueAt = now + wait * (0.8 + 0.4 * this.#random());
  }

  #refuse(words) {
    this.way = "";
    this.phase = "refused";
    this.words = words;
    this.dueAt = Infinity;
    return [];
  }
}
