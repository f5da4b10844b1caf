// What a page's own address says: PREFIX/play/APP/KEY[/RENDITION]?QUERY. Pure.
//
// Everything else is asked for relative to PREFIX, so that a proxy may have the server in a folder.

// Keys of the query that are the page's; all others are passed on: they let the viewer in.
const OWN = ["way", "muted", "controls"];
const SWITCH = { yes: true, no: false, 1: true, 0: false, true: true, false: false, "": true };

// `root` is the address of the server's own root, with a slash at its end.
export function pageAddress(href, root) {
  const url = new URL(href);
  const base = new URL(root).pathname;
  const path = url.pathname.startsWith(base) ? url.pathname.slice(base.length) : "";
  const [first, app = "", key = "", rendition = ""] = path.split("/");
  const passed = new URLSearchParams(url.search);
  const own = Object.fromEntries(OWN.map((name) => [name, passed.get(name)]));
  for (const name of OWN) passed.delete(name);
  const isOn = (name, otherwise) => (own[name] === null ? otherwise : SWITCH[own[name]] ?? otherwise);
  return {
    isWhole: first === "play" && app !== "" && key !== "",
    app, key, rendition,  // still percent-encoded
    name: [app, key].map(decoded).join("/"),
    query: passed.toString(),
    way: own.way ?? "",
    isMuted: isOn("muted", false),
    hasControls: isOn("controls", true),
  };
}

export function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// The address of something of this stream: `rest` is "720p.flv", "index.m3u8", …; `more` is added
// to the query.
export function streamUrl(root, address, rest, more = {}) {
  const query = new URLSearchParams(address.query);
  for (const [name, value] of Object.entries(more)) if (value) query.set(name, value);
  return withQuery(new URL(`${address.app}/${address.key}/${rest}`, root), query.toString());
}

// What the server says about it to the page.
export function aboutUrl(root, address) {
  return withQuery(new URL(`play/${address.app}/${address.key}/stream.json`, root), address.query);
}

function withQuery(url, query) {
  url.search = query;
  return url.href;
}
