// The player's page: what is seen and pressed, and the video element. Decisions are decisions.mjs's.

import { aboutUrl, pageAddress } from "./address.mjs";
import { Decisions, Failure, WAYS, playable, renditionFor } from "./decisions.mjs";
import { WayFailed, ask, fits, makeWay } from "./ways.mjs";

const EVERY_MS = 250;
const IDLE_MS = 3000;  // without a pointer or a key: the bar goes, where it lies over the picture
const NAMES = { whep: "WebRTC", hls: "HLS", flv: "HTTP-FLV", native: "HLS (browser)" };

const byId = (id) => document.getElementById(id);
const main = document.querySelector("main");
const video = document.querySelector("video");
const root = new URL("../../", import.meta.url).href;  // this file is PREFIX/player/HASH/page.mjs
const address = pageAddress(location.href, root);
const decisions = new Decisions(WAYS);

let way = null;  // that is open
let about = { ways: [], renditions: [], words: "" };
let rendition = address.rendition && decodeURIComponent(address.rendition);
let chosenWay = WAYS.includes(address.way) ? address.way : "";
let clockOffsetMs = 0;
let lastProgress = 0;
let opens = 0;
let timer = 0;
let idleTimer = 0;

// ---- what decisions want ------------------------------------------------------------------------

function carryOut(actions) {
  for (const action of actions) {
    if (action.do === "close") closeWay();
    else if (action.do === "open") openWay(action.way);
    else if (action.do === "ask") askAbout();
  }
  clearTimeout(timer);
  if (Number.isFinite(decisions.dueAt)) {
    timer = setTimeout(onDue, Math.max(0, decisions.dueAt - performance.now()) + 1);
  }
  show();
}

function onDue() {
  look();
  carryOut(decisions.tick(performance.now()));
}

async function askAbout() {
  const before = Date.now();
  try {
    const found = await (await ask(aboutUrl(root, address))).json();
    clockOffsetMs = found.now_ms - (before + Date.now()) / 2;
    const takes = (type) => (globalThis.MediaSource ?? globalThis.ManagedMediaSource)?.isTypeSupported(type) ?? false;
    about = { ...found, renditions: playable(found.renditions, takes) };
    fillMenus();
    const ways = [...found.ways, ...(found.ways.includes("hls") ? ["native"] : [])];
    carryOut(decisions.known(performance.now(), { ways: ways.filter(fits) }));
  } catch (error) {
    const failure = error instanceof WayFailed ? error.failure
      : { kind: Failure.LOST, words: "The server's answer cannot be read." };
    carryOut(decisions.unknown(performance.now(), failure));
  }
}

function openWay(name) {
  opens += 1;
  lastProgress = 0;
  const lines = video.clientHeight * (globalThis.devicePixelRatio || 1);
  const onFailed = (failure) => { if (way === made) carryOut(decisions.failed(performance.now(), failure)); };
  const made = way = makeWay(name, {
    video, root, address, rendition, clockOffsetMs, onFailed, automatic: renditionFor(about.renditions, lines),
  });
  made.open().catch((error) => onFailed(error instanceof WayFailed ? error.failure
    : { kind: Failure.BROKEN, words: `It cannot be shown: ${error.message}` }));
}

function closeWay() {
  way?.close();
  way = null;
}

function start() { carryOut(decisions.start(performance.now(), rendition, chosenWay)); }

// ---- the picture ----------------------------------------------------------------------------------

// In a hidden tab browsers decode no pictures; there sound alone goes on.
function progress() {
  if (!video.videoWidth) return 0;
  const frames = video.getVideoPlaybackQuality?.().totalVideoFrames;
  return document.hidden || frames === undefined ? video.currentTime : frames;
}

function look() {
  const now = performance.now();
  const reached = progress();
  if (way && reached && reached !== lastProgress) {
    lastProgress = reached;
    carryOut(decisions.shown(now));
  }
  way?.follow(now);
}

async function play() {
  try {
    await video.play();
  } catch (error) {
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;  // without a press before it, no sound is let out
    byId("loud").hidden = false;
    video.play().catch(() => {});
  }
}

// ---- what is seen ---------------------------------------------------------------------------------

function setText(node, text) { if (node.textContent !== text) node.textContent = text; }

function wordsFor(now) {
  const { phase, words, way: by, hasShown } = decisions;
  if (phase === "playing") return [decisions.isQuiet(now) ? "Waiting for pictures" : "", ""];
  if (phase === "stopped") return ["Paused", ""];
  if (phase === "refused") return [words || "The server does not let you watch this.", ""];
  if (phase === "waiting") {
    const seconds = Math.max(1, Math.round((decisions.dueAt - now) / 1000));
    return [words || "The connection is lost.", `It is tried again in ${seconds} s.`];
  }
  return ["Connecting", by && !hasShown ? NAMES[by] : words];
}

function show() {
  const now = performance.now();
  const { phase } = decisions;
  main.dataset.phase = phase;
  main.dataset.way = decisions.way;
  main.dataset.opens = String(opens);
  const [words, more] = wordsFor(now);
  setText(byId("words"), words);
  setText(byId("more"), more);
  byId("again").hidden = phase !== "refused" && phase !== "waiting";
  const delay = phase === "playing" ? way?.delayMs() ?? null : null;
  main.dataset.delay = delay === null ? "" : String(Math.round(delay));
  setText(byId("delay"), delay === null ? "" : `${(delay / 1000).toFixed(1)} s behind`);
  setText(byId("play"), isOver() ? "Play" : "Pause");
  const isMuted = video.muted || video.volume === 0;
  setText(byId("mute"), isMuted ? "Unmute" : "Mute");
  byId("mute").setAttribute("aria-pressed", String(isMuted));
  if (!isMuted) byId("loud").hidden = true;
  const automatic = byId("way").options[0];
  if (automatic) setText(automatic, decisions.way && !chosenWay ? `Automatic: ${NAMES[decisions.way]}` : "Automatic");
}

function fill(select, entries, chosen) {
  const wanted = entries.map((entry) => entry.join("=")).join();
  if (select.dataset.entries !== wanted) {
    select.dataset.entries = wanted;
    select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  }
  select.value = chosen;
}

function fillMenus() {
  const names = about.renditions.map((one) => one.name);
  if (rendition && !names.includes(rendition)) names.push(rendition);
  fill(byId("quality"), [["", "Automatic"], ...names.map((name) => [name, name])], rendition);
  const ways = WAYS.filter((one) => about.ways.includes(one) && fits(one));
  fill(byId("way"), [["", "Automatic"], ...ways.map((one) => [one, NAMES[one]])], chosenWay);
}

// ---- what is pressed ------------------------------------------------------------------------------

const isOver = () => decisions.phase === "stopped" || decisions.phase === "refused";

function toggle() {
  if (isOver()) start();
  else carryOut(decisions.stop());
}

function setMuted(isMuted) {
  video.muted = isMuted;
  if (!isMuted && video.volume === 0) video.volume = 0.5;
  byId("volume").value = video.muted ? 0 : video.volume;
  show();
}

function toggleFull() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (main.requestFullscreen) main.requestFullscreen().catch(() => {});
  else video.webkitEnterFullscreen?.();  // iPhones have it for the element alone
}

const KEYS = {
  k: toggle, " ": toggle, m: () => setMuted(!video.muted), f: toggleFull,
  ArrowUp: () => changeVolume(0.1), ArrowDown: () => changeVolume(-0.1),
};

function changeVolume(by) {
  video.volume = Math.min(1, Math.max(0, video.volume + by));
  setMuted(video.volume === 0);
}

function onKey(event) {
  const isForm = event.target.matches("select, input") || (event.key === " " && event.target.matches("button"));
  const act = KEYS[event.key];
  if (!act || isForm || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
}

function wakeBar() {
  main.classList.remove("idle");
  clearTimeout(idleTimer);
  idleTimer = setTimeout(() => main.classList.add("idle"), IDLE_MS);
}

function fillRoom() {
  main.classList.toggle("filled", globalThis.top !== globalThis || document.fullscreenElement !== null);
}

function listen() {
  byId("play").onclick = toggle;
  byId("mute").onclick = () => setMuted(!video.muted);
  byId("loud").onclick = () => setMuted(false);
  byId("full").onclick = toggleFull;
  byId("again").onclick = start;
  byId("volume").oninput = (event) => {
    video.volume = Number(event.target.value);
    setMuted(video.volume === 0);
  };
  byId("quality").onchange = (event) => { rendition = event.target.value; start(); };
  byId("way").onchange = (event) => { chosenWay = event.target.value; start(); };
  video.onclick = wakeBar;
  video.ondblclick = toggleFull;
  video.onloadedmetadata = play;
  // A headset's button, or the system, has paused it: it goes on at the live edge later.
  video.onpause = () => {
    if (way && decisions.phase === "playing" && !video.ended && video.readyState > 2) carryOut(decisions.stop());
  };
  document.addEventListener("keydown", onKey);
  for (const name of ["pointermove", "pointerdown", "keydown", "focusin"]) document.addEventListener(name, wakeBar);
  document.addEventListener("fullscreenchange", fillRoom);
  const wake = () => { if (!document.hidden) carryOut(decisions.wake(performance.now())); };
  document.addEventListener("visibilitychange", wake);
  globalThis.addEventListener("online", wake);
  globalThis.addEventListener("pagehide", closeWay);
  globalThis.addEventListener("pageshow", (event) => { if (event.persisted) start(); });
  setInterval(() => { look(); show(); }, EVERY_MS);
}

function begin() {
  document.title = address.name || "tfarm";
  setText(byId("name"), address.name);
  video.muted = address.isMuted;
  main.classList.toggle("bare", !address.hasControls);
  fillRoom();
  listen();
  wakeBar();
  fillMenus();
  if (address.isWhole) start();
  else setText(byId("words"), "This address names no stream: it is /play/APP/KEY.");
}

begin();
