// The time of the report: the video's where it plays, the page's own where there is none.
const player = {
  video: $("video"),
  ready: false,
  playing: false,
  wanted: null,
  asked: null,
  shown: null,
  last: 0,
};

/** The moment whose boxes belong over the picture: that of the frame on the screen while it plays. */
const pictureTime = () => (player.playing && player.shown !== null ? player.shown : view.time);

function setPlaying(playing) {
  player.playing = playing;
  player.shown = null;
  $("play").classList.toggle("playing", playing);
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

function play() {
  if (view.time >= duration - 0.02) seekTo(0);
  run();
  if (player.ready) player.video.play().catch(() => setPlaying(false));
}

function run() {
  setPlaying(true);
  player.last = performance.now();
  requestAnimationFrame(tick);
}

function pause() {
  if (!player.playing) return;
  const now = pictureTime();
  setPlaying(false);
  if (player.ready) player.video.pause();
  view.time = now;
  emit("time");
}

/** The video's own time, as seconds of the report. */
const videoTime = () => Math.min(Math.max(player.video.currentTime - film.start, 0), duration);

function tick(now) {
  if (!player.playing) return;
  if (player.ready) view.time = videoTime();
  else view.time = Math.min(view.time + ((now - player.last) / 1000) * Number($("speed").value), duration);
  player.last = now;
  followPlayhead();
  emit("time");
  if ((player.ready && player.video.ended) || view.time >= duration) pause();
  requestAnimationFrame(tick);
}

/** Where the browser tells which frame it shows, boxes follow that and not the clock. */
function watchFrames() {
  if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) return;
  const see = (_, frame) => {
    player.shown = Math.max(0, frame.mediaTime - film.start);
    player.video.requestVideoFrameCallback(see);
  };
  player.video.requestVideoFrameCallback(see);
}

/** One seek at a time: while one is under way only the last wish is kept. */
function followSeek() {
  if (!player.ready || player.playing) return;
  if (player.video.seeking) {
    player.wanted = view.time;
    return;
  }
  player.wanted = null;
  // a frame's own time, rounded down, would show the one before it
  const target = Math.min(view.time + film.start + 0.002, player.video.duration);
  if (Math.abs(player.video.currentTime - target) <= 0.001) return;
  player.asked = target;
  player.video.currentTime = target;
}

/** Media keys, picture in picture, a locked phone: the video is also moved by others than this page. */
function followOthers() {
  const { video } = player;
  video.addEventListener("seeked", () => {
    if (player.wanted !== null) followSeek();
    else if (!player.playing && (player.asked === null || Math.abs(video.currentTime - player.asked) > 0.001)) {
      player.asked = video.currentTime;
      seekTo(videoTime());
    }
    emit("time");
  });
  video.addEventListener("play", () => {
    if (!player.playing) run();
  });
  video.addEventListener("pause", () => {
    if (!video.ended) pause();
  });
}

function go(time) {
  const playing = player.playing;
  if (playing && player.ready) player.video.currentTime = Math.min(Math.max(time, 0), duration) + film.start;
  player.shown = null;
  seekTo(time);
  followSeek();
}

function step(keyframes) {
  pause();
  const at = Math.round(view.time / every * 1e6) / 1e6;
  go(((keyframes > 0 ? Math.floor(at) : Math.ceil(at)) + keyframes) * every);
}

function stepFrame(frames) {
  pause();
  go(view.time + frames / (film.rate || 25));
}

function fileName(address) {
  try {
    return decodeURIComponent(address.split("/").pop());
  } catch {
    return ""; // a name that is no UTF-8
  }
}

function showNoFilm(text) {
  player.ready = false;
  $("screen").classList.add("bare");
  $("no-film").hidden = false;
  $("no-film-text").textContent = text;
}

function openFilm(address) {
  $("screen").classList.remove("bare");
  $("no-film").hidden = true;
  player.video.src = address;
}

function embedded() {
  const text = $("film").textContent;
  const parts = [];
  for (let k = 0; k < text.length; k += 1 << 20) {
    const piece = atob(text.slice(k, k + (1 << 20)));
    const bytes = new Uint8Array(piece.length);
    for (let i = 0; i < piece.length; i += 1) bytes[i] = piece.charCodeAt(i);
    parts.push(bytes);
  }
  return URL.createObjectURL(new Blob(parts, { type: film.embedded }));
}

function beginFilm() {
  const { video } = player;
  video.style.aspectRatio = `${film.width} / ${film.height}`;
  video.addEventListener("loadedmetadata", () => {
    player.ready = video.videoWidth > 0;
    if (!player.ready) showNoFilm("This browser cannot show the pictures of the video.");
    else followSeek();
    emit("time");
  });
  video.addEventListener("error", () => {
    const name = fileName(film.src ?? "");
    showNoFilm(`The video cannot be played from here${name ? ` (${name})` : ""}. Boxes and timeline work without it.`);
    emit("time");
  });
  followOthers();
  video.addEventListener("click", () => (player.playing ? pause() : play()));
  $("speed").addEventListener("change", () => {
    video.playbackRate = Number($("speed").value);
  });
  $("pick").addEventListener("change", () => {
    const [file] = $("pick").files;
    if (file) openFilm(URL.createObjectURL(file));
  });
  watchFrames();
  if (film.embedded) openFilm(embedded());
  else if (film.src !== null) openFilm(film.src);
  else showNoFilm(film.note || "The video is not here. Boxes and timeline work without it.");
}
