// Addresses and session descriptions of the player, by tables.

import assert from "node:assert/strict";
import { test } from "node:test";

import { aboutUrl, pageAddress, streamUrl } from "../../../../egress/web/player/address.mjs";
import { withStereo } from "../../../../egress/web/player/sdp.mjs";

const ROOT = "http://host:8080/";
for (const [root, rest, wanted] of [
  [ROOT, "play/live/cam", { isWhole: true, app: "live", key: "cam", rendition: "", query: "" }],
  [ROOT, "play/live/cam/720p", { isWhole: true, rendition: "720p" }],
  [ROOT, "play/live/cam?key=a%26b&way=flv&muted=yes",
    { query: "key=a%26b", way: "flv", isMuted: true, hasControls: true }],
  [ROOT, "play/live/cam?controls=no&token=t", { hasControls: false, query: "token=t" }],
  [ROOT, "play/live/cam?muted", { isMuted: true }],
  [ROOT, "play/live/cam?muted=perhaps", { isMuted: false }],
  ["https://host/video/", "play/live/c%20m", { isWhole: true, key: "c%20m", name: "live/c m" }],
  [ROOT, "play/live/c%zz", { isWhole: true, name: "live/c%zz" }],
  [ROOT, "play/live", { isWhole: false }],
  [ROOT, "", { isWhole: false }],
]) {
  test(`the page ${root}${rest}`, () => {
    const found = pageAddress(root + rest, root);
    assert.deepEqual(found, { ...found, ...wanted });
  });
}

test("a stream's files are below the same root, with the keys that let in", () => {
  const address = pageAddress("https://host/video/play/live/cam?key=k%3D&way=hls", "https://host/video/");
  assert.equal(streamUrl("https://host/video/", address, "720p.flv"), "https://host/video/live/cam/720p.flv?key=k%3D");
  assert.equal(streamUrl("https://host/video/", address, "index.m3u8", { rendition: "a b", other: "" }),
    "https://host/video/live/cam/index.m3u8?key=k%3D&rendition=a+b");
  assert.equal(aboutUrl("https://host/video/", address), "https://host/video/play/live/cam/stream.json?key=k%3D");
});

const HEAD = "m=audio 9 UDP/TLS/RTP/SAVPF 111 9\r\n";
for (const [name, sdp, wanted] of [
  ["is added to what Opus has",
    `${HEAD}a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n`,
    `${HEAD}a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1;stereo=1\r\n`],
  ["stands alone where Opus has nothing", `${HEAD}a=rtpmap:111 opus/48000/2\r\n`,
    `${HEAD}a=rtpmap:111 opus/48000/2\r\na=fmtp:111 stereo=1\r\n`],
  ["is not said twice", "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 stereo=1;x=2\r\n",
    "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 stereo=1;x=2\r\n"],
  ["is nothing for other codecs", "a=rtpmap:9 G722/8000\r\na=fmtp:9 x=1\r\n", "a=rtpmap:9 G722/8000\r\na=fmtp:9 x=1\r\n"],
]) {
  test(`stereo ${name}`, () => assert.equal(withStereo(sdp), wanted));
}
