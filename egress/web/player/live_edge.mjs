// How near to the end of what has come a live stream is played. Pure: buffered times in, a step out.
//
// The player keeps a margin before that end. It plays a little faster where it is further behind,
// and jumps where that would take too long. Each stall shows that the margin was too small for this
// network, or this machine; it grows then, and shrinks again while nothing happens.

export const MARGIN_S = 0.25;
export const MOST_S = 1.5;
export const SLACK_S = 0.15;  // beyond the margin before it plays faster
export const FAST_RATE = 1.08;  // nobody hears it
export const JUMP_S = 1.5;  // beyond the margin: too far to be caught up with
export const START_MS = 2000;  // while the first pictures still come, it jumps sooner: nobody minds
const START_JUMP_S = 0.5;
const CALM_MS = 10000;
const STEP_S = 0.1;

export class LiveEdge {
  margin = MARGIN_S;
  #sinceMs = -Infinity;
  #calmMs = -Infinity;
  #isFast = false;

  // The stream begins anew at this time: of another connection, perhaps.
  begin(now) {
    this.#sinceMs = now;
    this.#calmMs = now;
    this.#isFast = false;
  }

  // Playback has run out of media.
  stalled(now) {
    if (now - this.#sinceMs < START_MS) return;  // it is only beginning
    this.margin = Math.min(MOST_S, this.margin * 1.5 + STEP_S);
    this.#calmMs = now;
  }

  // What to do: {rate, seek}; `seek` is null where it plays on. Times are the media's, in seconds.
  follow(now, { begin, end, time }) {
    if (now - this.#calmMs > CALM_MS) {
      this.margin = Math.max(MARGIN_S, this.margin - STEP_S);
      this.#calmMs = now;
    }
    const behind = end - time - this.margin;
    const most = now - this.#sinceMs < START_MS ? START_JUMP_S : JUMP_S;
    if (time < begin || behind > most) {
      this.#isFast = false;
      return { rate: 1, seek: Math.max(begin, end - this.margin) };
    }
    // Until it is at the margin again: else it would change its speed all the time.
    this.#isFast = behind > (this.#isFast ? 0 : SLACK_S);
    return { rate: this.#isFast ? FAST_RATE : 1, seek: null };
  }
}
