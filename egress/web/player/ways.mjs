// The ways to a stream, each behind the same methods: what browsers and libraries do.
//
// A way is made with {video, root, address, rendition, automatic, clockOffsetMs, onFailed} and has
//   open()      begins; rejects with a `WayFailed`. Later ends come by `onFailed`
//   close()     ends it; afterwards nothing is called any more
//   delayMs()   how far behind the publisher what is shown is, as far as is known; null: not known
//   follow(now) is called four times a second
// What is to be done about failures is decided in decisions.mjs.

import { streamUrl } from "./address.mjs";
import { Failure, failureOf, retryAfterMs } from "./decisions.mjs";
import { LiveEdge } from "./live_edge.mjs";
import { withStereo } from "./sdp.mjs";

const GATHER_MS = 250;  // for the browser's own candidates; the server takes packets from others too
const ANSWER_MS = 10000;  // it may wait for the stream
const BACK_S = 10;  // of media that is kept behind what is shown
const MEDIA_REPAIRS = 2;  // of hls.js, before another way is tried
// hls.js asks again for what a server that was restarted has not, for half a minute; opening anew is sooner.
const RETRY = { maxNumRetry: 2, retryDelayMs: 400, maxRetryDelayMs: 1000, backoff: "linear" };
const LOADING = { default: { maxTimeToFirstByteMs: ANSWER_MS, maxLoadTimeMs: 20000, timeoutRetry: RETRY, errorRetry: RETRY } };

export class WayFailed extends Error {
  constructor(kind, words = "", afterMs = 0) {
    super(words);
    this.failure = { kind, words, afterMs };
  }
}

// The answer, or why there is none, in the server's words: those of a refusal are its body.
export async function ask(url, options = {}) {
  const given = { credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer", ...options };
  let response;
  try {
    response = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), ...given });
  } catch {
    throw new WayFailed(Failure.LOST, "The server does not answer.");
  }
  if (response.ok) return response;
  const words = firstLine(await response.text().catch(() => ""));
  throw new WayFailed(failureOf(response.status), words || `The server answers ${response.status}.`,
    retryAfterMs(response.headers.get("Retry-After"), Date.now()));
}

function firstLine(text) {
  const line = text.trim().split("\n")[0];
  return line.startsWith("<") ? "" : line.slice(0, 300);  // a proxy's page
}

class Way {
  constructor(context) {
    Object.assign(this, context);
    this.isClosed = false;
  }

  url(rest, more) { return streamUrl(this.root, this.address, rest, more); }

  fail(kind, words = "", afterMs = 0) {
    if (!this.isClosed) this.onFailed({ kind, words, afterMs });
  }

  delayMs() { return null; }
  follow() {}

  close() {
    this.isClosed = true;
    const video = this.video;
    video.srcObject = null;
    if (video.hasAttribute("src")) {
      video.removeAttribute("src");
      video.load();
    }
    video.playbackRate = 1;
  }
}

// ---- WebRTC -----------------------------------------------------------------------------------

class Whep extends Way {
  static fits() { return "RTCPeerConnection" in globalThis; }

  async open() {
    const peer = this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const stream = new MediaStream();
    peer.ontrack = ({ track }) => {
      stream.addTrack(track);
      if (this.video.srcObject !== stream && !this.isClosed) this.video.srcObject = stream;
    };
    peer.onconnectionstatechange = () => {
      if (peer.connectionState === "failed") this.fail(Failure.LOST, "The connection is lost.");
    };
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
    const offer = await peer.createOffer();
    await peer.setLocalDescription({ type: "offer", sdp: withStereo(offer.sdp) });
    await this.#gathered(peer);
    if (this.isClosed) return;
    const rest = this.rendition ? `${this.rendition}/whep` : "whep";
    const response = await ask(this.url(rest), {
      method: "POST", headers: { "Content-Type": "application/sdp" }, body: peer.localDescription.sdp,
    });
    // Below the address that was asked: a proxy may have the server in a folder that it does not know.
    const session = response.headers.get("Location")?.split("?")[0].split("/").pop();
    this.session = session ? `${response.url.split("?")[0]}/${session}` : "";
    const answer = await response.text();
    if (this.isClosed) {
      this.#leave();
      return;
    }
    try {
      await peer.setRemoteDescription({ type: "answer", sdp: answer });
    } catch (error) {
      throw new WayFailed(Failure.UNSUPPORTED, `This browser does not take the answer: ${error.message}`);
    }
    this.timer = setInterval(() => this.#measure(), 1000);
  }

  #gathered(peer) {
    if (peer.iceGatheringState === "complete") return Promise.resolve();
    return new Promise((done) => {
      setTimeout(done, GATHER_MS);
      peer.addEventListener("icegatheringstatechange", () => {
        if (peer.iceGatheringState === "complete") done();
      });
    });
  }

  // Half a round trip, the jitter buffer and the decoder, over the last second.
  async #measure() {
    const stats = [...(await this.peer.getStats()).values()];
    const now = stats.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    if (!now) return;
    const before = this.before ?? { jitterBufferDelay: 0, jitterBufferEmittedCount: 0, totalDecodeTime: 0, framesDecoded: 0 };
    this.before = now;
    const pair = stats.find((one) => one.type === "candidate-pair" && one.state === "succeeded" && one.nominated);
    const mean = (sum, count) => {
      const counted = now[count] - before[count];
      return counted > 0 ? (now[sum] - before[sum]) / counted : NaN;
    };
    const seconds = mean("jitterBufferDelay", "jitterBufferEmittedCount") + mean("totalDecodeTime", "framesDecoded")
      + (pair?.currentRoundTripTime ?? 0) / 2;
    this.delay = Number.isFinite(seconds) ? seconds * 1000 : null;
  }

  delayMs() { return this.delay ?? null; }

  #leave() {
    if (!this.session) return;
    fetch(this.session, { method: "DELETE", keepalive: true, credentials: "omit", referrerPolicy: "no-referrer" })
      .catch(() => {});
    this.session = "";
  }

  close() {
    clearInterval(this.timer);
    this.#leave();
    this.peer?.close();
    super.close();
  }
}

// ---- HLS by hls.js ----------------------------------------------------------------------------

class HlsJs extends Way {
  static fits() { return "MediaSource" in globalThis || "ManagedMediaSource" in globalThis; }

  async open() {
    const { default: Hls } = await import("./hls.min.mjs");
    if (this.isClosed) return;
    if (!Hls.isSupported()) throw new WayFailed(Failure.UNSUPPORTED, "This browser has no Media Source Extensions.");
    this.repairs = 0;
    const hls = this.hls = new Hls({
      lowLatencyMode: true,
      enableWorker: false,  // fragments are passed through: there is nothing to be done elsewhere
      backBufferLength: BACK_S,
      maxLiveSyncPlaybackRate: 1.5,  // else it never catches up
      liveSyncOnStallIncrease: 0.3,
      manifestLoadPolicy: LOADING,
      playlistLoadPolicy: LOADING,
      fragLoadPolicy: LOADING,
    });
    hls.on(Hls.Events.ERROR, (_, error) => this.#onError(Hls, error));
    hls.loadSource(this.url("index.m3u8", { rendition: this.rendition }));
    hls.attachMedia(this.video);
  }

  #onError(Hls, error) {
    if (!error.fatal) return;
    if (error.type === Hls.ErrorTypes.NETWORK_ERROR) {
      const request = error.networkDetails;
      const words = firstLine(typeof request?.responseText === "string" ? request.responseText : "");
      const status = error.response?.code ?? 0;
      // A part or a playlist that is gone is a restart of the server, not a stream that is not there.
      const kind = failureOf(status);
      const isPlaying = this.video.currentTime > 0;
      this.fail(kind === Failure.ABSENT && isPlaying ? Failure.LOST : kind, words);
    } else if (error.type === Hls.ErrorTypes.MEDIA_ERROR && this.repairs < MEDIA_REPAIRS) {
      this.repairs += 1;
      this.hls.recoverMediaError();
    } else this.fail(Failure.BROKEN, `It cannot be shown: ${error.details}`);
  }

  delayMs() {
    const shown = this.hls?.playingDate;
    const byDate = shown ? Date.now() + this.clockOffsetMs - shown.getTime() : NaN;
    if (byDate > 0 && byDate < 120_000) return byDate;
    const seconds = this.hls?.latency;
    return seconds > 0 ? seconds * 1000 : null;
  }

  close() {
    this.hls?.destroy();
    super.close();
  }
}

// ---- HTTP-FLV by mpegts.js ----------------------------------------------------------------------

let loading = null;

function library(name) {
  loading ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = new URL(name, import.meta.url).href;
    script.onload = () => done(globalThis.mpegts);
    script.onerror = () => {
      loading = null;
      fail(new WayFailed(Failure.LOST, "The server does not answer."));
    };
    document.head.append(script);
  });
  return loading;
}

class Flv extends Way {
  edge = new LiveEdge();

  static fits() { return "MediaSource" in globalThis || "ManagedMediaSource" in globalThis; }

  async open() {
    const mpegts = await library("mpegts.js");
    if (this.isClosed) return;
    if (!mpegts.isSupported()) throw new WayFailed(Failure.UNSUPPORTED, "This browser has no Media Source Extensions.");
    mpegts.LoggingControl.enableAll = false;
    this.edge.begin(performance.now());
    this.onWaiting = () => this.edge.stalled(performance.now());
    this.video.addEventListener("waiting", this.onWaiting);
    const player = this.player = mpegts.createPlayer(
      { type: "flv", isLive: true, url: this.flvUrl(), referrerPolicy: "no-referrer", withCredentials: false },
      { isLive: true, enableStashBuffer: false, lazyLoad: false, deferLoadAfterSourceOpen: false,
        autoCleanupSourceBuffer: true, autoCleanupMaxBackwardDuration: 3 * BACK_S, autoCleanupMinBackwardDuration: BACK_S });
    const { ErrorTypes, Events } = mpegts;
    player.on(Events.ERROR, (type, detail, info) => {
      const what = info?.msg ?? detail;
      if (type === ErrorTypes.NETWORK_ERROR) this.#onNoAnswer(info?.code ?? 0);
      else if (/codec|unsupported/i.test(detail)) this.fail(Failure.UNSUPPORTED, `This browser does not play it: ${what}`);
      else this.fail(Failure.BROKEN, `It cannot be shown: ${what}`);
    });
    player.on(Events.LOADING_COMPLETE, () => this.fail(Failure.LOST));
    player.attachMediaElement(this.video);
    player.load();
  }

  // The library keeps no refusal's words: it is asked for again, and not taken.
  async #onNoAnswer(status) {
    if (status < 400) {
      this.fail(Failure.LOST);
      return;
    }
    const control = new AbortController();
    try {
      await ask(this.flvUrl(), { signal: control.signal });
      this.fail(Failure.LOST);
    } catch (error) {
      const { kind, words, afterMs } = error.failure;
      this.fail(kind, words, afterMs);
    } finally {
      control.abort();
    }
  }

  flvUrl() { return this.url(`${this.rendition || this.automatic}.flv`); }

  #behind() {
    const ranges = this.video.buffered;
    return ranges.length ? ranges.end(ranges.length - 1) - this.video.currentTime : 0;
  }

  follow(now) {
    const ranges = this.video.buffered;
    if (!ranges.length || this.video.paused) return;
    const last = ranges.length - 1;
    const { rate, seek } = this.edge.follow(now,
      { begin: ranges.start(last), end: ranges.end(last), time: this.video.currentTime });
    if (seek !== null) this.video.currentTime = seek;
    if (this.video.playbackRate !== rate) this.video.playbackRate = rate;
  }

  delayMs() { return this.video.buffered.length ? this.#behind() * 1000 : null; }

  close() {
    this.video.removeEventListener("waiting", this.onWaiting);
    this.player?.destroy();
    super.close();
  }
}

// ---- HLS as the browser has it ------------------------------------------------------------------

class NativeHls extends Way {
  static fits() {
    return document.createElement("video").canPlayType("application/vnd.apple.mpegurl") !== "";
  }

  async open() {
    const url = this.url("index.m3u8", { rendition: this.rendition });
    this.onError = () => this.fail(Failure.LOST, this.video.error?.message ?? "");
    this.video.addEventListener("error", this.onError);
    this.video.addEventListener("ended", this.onError);
    await ask(url);  // for its words: an element has none
    if (!this.isClosed) this.video.src = url;
  }

  delayMs() {
    const start = this.video.getStartDate?.()?.getTime();
    const delay = Date.now() + this.clockOffsetMs - start - this.video.currentTime * 1000;
    return delay > 0 && delay < 120_000 ? delay : null;
  }

  close() {
    this.video.removeEventListener("error", this.onError);
    this.video.removeEventListener("ended", this.onError);
    super.close();
  }
}

const KINDS = { whep: Whep, hls: HlsJs, flv: Flv, native: NativeHls };

// What this browser can do, whatever the server serves.
export const fits = (way) => KINDS[way].fits();
export const makeWay = (way, context) => new KINDS[way](context);
