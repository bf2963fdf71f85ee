// A page that plays HLS as pages do, with hls.js or with the browser's own player, and what it saw.
//
// `window.player` is what tests call. Times are in seconds.
'use strict';

const FIRST_MOMENTS_S = 2;

const video = document.querySelector('video');
const errors = []; // { details, fatal, status, body }, in order
let hls = null;
let moved = null; // when the picture was last seen to move, and where; null before it first does
let longestStall = 0;
const MOMENT_MS = 1000; // longer than a playlist stays in the gate's cache
let begunAgain = 0; // how often the browser's own player had to begin once more

function start(url, how) {
  if (how === 'native') {
    playNatively(url);
  } else {
    hls = new Hls();
    hls.on(Hls.Events.ERROR, (_, { details, fatal, response, networkDetails }) => {
      errors.push({ details, fatal, status: response?.code, body: textOf(networkDetails) });
    });
    hls.loadSource(url);
    hls.attachMedia(video);
  }
  video.play().catch(() => {}); // a refusal is an error event too
}

// Chromium's own player changes the rendition in its first moments, and about one time in a hundred it then gives up with
// "could not parse", though all that it was given is in order. It was seen where the new rendition's playlist was a segment
// behind the one that it had just read, as cached playlists may be. A page that cares begins once more when
// other playlists have come; tests look how often that was.
function playNatively(url, again = 8) {
  video.onerror = () => {
    if (again > 0 && video.currentTime < FIRST_MOMENTS_S) {
      begunAgain += 1;
      setTimeout(() => {
        playNatively(url, again - 1);
        video.play().catch(() => {});
      }, MOMENT_MS);
    } else {
      errors.push({ details: video.error.message, fatal: true, code: video.error.code });
    }
  };
  video.src = url;
}

// Playlists are asked for as text; a segment's answer has no text to show.
function textOf(request) {
  return request?.responseType === '' || request?.responseType === 'text' ? request.responseText : undefined;
}

// `timeupdate` comes four times a second while the picture moves, in the background too.
video.addEventListener('timeupdate', () => {
  if (video.paused || video.currentTime <= (moved?.time ?? 0)) return;
  longestStall = Math.max(longestStall, stall());
  moved = { at: performance.now() / 1000, time: video.currentTime };
});

// How far the picture fell behind the wall clock since it was last seen to move: a page that is late to look is no stall.
function stall() {
  if (!moved || video.paused) return 0;
  return performance.now() / 1000 - moved.at - (video.currentTime - moved.time);
}

// Seconds of the media that were played, each once.
function played() {
  let seconds = 0;
  for (let i = 0; i < video.played.length; i++) seconds += video.played.end(i) - video.played.start(i);
  return seconds;
}

function look() {
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  return {
    time: video.currentTime,
    played: played(),
    frames: totalVideoFrames - droppedVideoFrames,
    width: video.videoWidth,
    longestStall: Math.max(longestStall, stall()),
    ended: video.ended,
    paused: video.paused,
    readyState: video.readyState,
    page: document.visibilityState,
    begunAgain,
    errors,
  };
}

/** The viewer presses pause. The player may go on loading. */
function pause() {
  video.pause();
}

/** The page goes to sleep: hls.js asks for nothing. */
function sleep() {
  video.pause();
  hls.stopLoad();
}

function resume() {
  moved = { at: performance.now() / 1000, time: video.currentTime }; // the pause is no stall
  hls?.startLoad();
  video.play().catch(() => {});
}

/** The viewer chooses another of the renditions. */
function otherRendition() {
  hls.nextLevel = (hls.currentLevel + 1) % hls.levels.length;
}

window.player = { start, look, pause, sleep, resume, otherRendition };
