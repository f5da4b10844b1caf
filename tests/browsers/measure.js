// Reads the number in each picture that a video element presents (tests/kit/clips.py), and when a
// pulse of sound begins. An expression: evaluated in a page, it gives an object that the rig asks.
((video, options) => {
  const BITS = 16;
  const ROW = 1 / 12;  // of the picture's height, each of the two rows of blocks
  const canvas = document.createElement("canvas");
  canvas.width = BITS * 8;
  canvas.height = 16;
  const drawing = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  const found = { pictures: [], pulses: [], faults: [], unread: 0 };
  const unix = (ms) => ms + (Date.now() - performance.now());

  function readNumber() {
    const { videoWidth: width, videoHeight: height } = video;
    drawing.drawImage(video, 0, 0, width, 2 * ROW * height, 0, 0, canvas.width, canvas.height);
    const { data } = drawing.getImageData(0, 0, canvas.width, canvas.height);
    const mean = (block, top) => {
      let sum = 0;
      for (let y = top + 2; y < top + 6; y += 1) {
        for (let x = block * 8 + 2; x < block * 8 + 6; x += 1) sum += data[4 * (y * canvas.width + x) + 1];
      }
      return sum / 16;
    };
    let number = 0;
    for (let block = 0; block < BITS; block += 1) {
      const upper = mean(block, 0);
      const lower = mean(block, 8);
      if (Math.abs(upper - lower) < 60) return null;
      number = 2 * number + (upper > lower ? 1 : 0);
    }
    return number;
  }

  function onPicture(now, metadata) {
    const number = readNumber();
    if (number === null) found.unread += 1;
    else found.pictures.push([number, unix(metadata.expectedDisplayTime)]);
    video.requestVideoFrameCallback(onPicture);
  }

  // The sound is heard by a node of its own, by the clock of the audio device.
  function listen() {
    const context = new AudioContext({ latencyHint: "interactive" });
    const source = video.srcObject ? context.createMediaStreamSource(video.srcObject)
      : context.createMediaElementSource(video);
    const ear = context.createScriptProcessor(512, 1, 1);
    let quietSince = -1;
    ear.onaudioprocess = ({ inputBuffer, playbackTime }) => {
      const samples = inputBuffer.getChannelData(0);
      for (let at = 0; at < samples.length; at += 1) {
        const time = playbackTime + at / context.sampleRate;
        if (Math.abs(samples[at]) < 0.05) continue;
        if (time - quietSince > 0.3) {
          const stamp = context.getOutputTimestamp();
          if (stamp.performanceTime) found.pulses.push(unix(stamp.performanceTime + 1000 * (time - stamp.contextTime)));
        }
        quietSince = time;
      }
    };
    source.connect(ear);
    ear.connect(context.destination);
    return context.resume();
  }

  for (const name of ["error", "stalled"]) {
    video.addEventListener(name, () => found.faults.push(`${name} ${video.error?.message ?? ""}`.trim()));
  }
  video.requestVideoFrameCallback(onPicture);
  if (options.hears) listen().catch((error) => found.faults.push(`sound: ${error.message}`));
  globalThis.measured = {
    // What was seen since it was asked last.
    take() {
      const quality = video.getVideoPlaybackQuality();
      const taken = { ...found, dropped: quality.droppedVideoFrames, total: quality.totalVideoFrames,
        now: Date.now() };
      found.pictures = [];
      found.pulses = [];
      return taken;
    },
  };
  return true;
})
