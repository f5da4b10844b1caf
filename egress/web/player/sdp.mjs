// What is changed in WebRTC's session descriptions (RFC 8866, RFC 7587). Pure.

// An offer whose Opus is in stereo: browsers decode mono unless they have said `stereo=1`.
export function withStereo(sdp) {
  const payloads = [...sdp.matchAll(/^a=rtpmap:(\d+) opus\/48000\/2\r?$/gim)].map((found) => found[1]);
  return payloads.reduce((text, payload) => {
    const line = new RegExp(`^(a=fmtp:${payload} )(?!.*\\bstereo=)(.*?)(\\r?)$`, "m");
    if (new RegExp(`^a=fmtp:${payload} `, "m").test(text)) return text.replace(line, "$1$2;stereo=1$3");
    return text.replace(new RegExp(`^(a=rtpmap:${payload} .*?)(\\r?)$`, "m"),
      `$1$2\na=fmtp:${payload} stereo=1$2`);
  }, sdp);
}
