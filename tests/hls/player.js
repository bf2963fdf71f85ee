// A page that plays HLS as pages do, with hls.js or with the browser's own player, and what it saw.
//
// `window.player` is what tests call. Times are seconds of media, gaps milliseconds of the wall clock.
'use strict';

const video = document.querySelector('video');
const errors = []; // { details, fatal, status, body }, in order
let hls = null;
let moved = null; // when the picture was last seen to move, and where; null before it first does
let longestGap = 0;

function start(url, how) {
  if (how === 'native') {
    video.onerror = () => errors.push({ details: video.error.message, fatal: true, code: video.error.code });
    video.src = url;
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

// Playlists are asked for as text; a segment's answer has no text to show.
function textOf(request) {
  return request?.responseType === '' || request?.responseType === 'text' ? request.responseText : undefined;
}

// `timeupdate` comes four times a second while the picture moves, in the background too.
video.addEventListener('timeupdate', () => {
  if (video.paused) return;
  const now = performance.now();
  if (moved && video.currentTime > moved.time) longestGap = Math.max(longestGap, now - moved.at);
  if (!moved || video.currentTime > moved.time) moved = { at: now, time: video.currentTime };
});

function look() {
  const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
  const since = moved && !video.paused ? performance.now() - moved.at : 0;
  return {
    time: video.currentTime,
    frames: totalVideoFrames - droppedVideoFrames,
    width: video.videoWidth,
    longestGap: Math.max(longestGap, since),
    paused: video.paused,
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
  moved = { at: performance.now(), time: video.currentTime }; // the pause is no stall
  hls?.startLoad();
  video.play().catch(() => {});
}

/** The viewer chooses another of the renditions. */
function otherRendition() {
  hls.nextLevel = (hls.currentLevel + 1) % hls.levels.length;
}

window.player = { start, look, pause, sleep, resume, otherRendition };
