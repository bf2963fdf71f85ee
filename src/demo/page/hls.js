// HLS through the gate, with what the browser plays natively: one token, one playback, and no cookie.

const NATIVE = 'application/vnd.apple.mpegurl';

/** Whether this browser plays HLS without help. */
export const playsHls = document.createElement('video').canPlayType(NATIVE) !== '';

/** Where an HLS playback begins (protocol.md 2). Empty values are left out. */
export function hlsUrl(media, { url, stream, security, cid, pid }) {
  const query = Object.entries({ url, stream, cid, pid, ...security }).filter(([, value]) => value);
  const pairs = query.map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return `${media}/h5live/authhttp/playlist.m3u8?${pairs.join('&')}`;
}

/**
 * Begins a playback and plays it in `video`. Tells what the gate said: `{ session }`, or `{ code, receipt }` of a
 * refusal. The page asks first, because a `<video>` tells it nothing of a status.
 */
export async function playHls(video, entry) {
  const response = await fetch(entry, { cache: 'no-store' });
  if (!response.ok) return response.json().catch(() => ({ code: response.status, receipt: '' }));
  video.src = entry;
  await video.play();
  // All links lead to the playback's own path, which begins with the session's name.
  return { session: /^~(\w{16})\./m.exec(await response.text())?.[1] ?? '' };
}
