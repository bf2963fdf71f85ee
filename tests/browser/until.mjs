// Waiting on the thing itself: every wait in these tests names a condition and has a deadline.
import { setTimeout as pause } from 'node:timers/promises';

const POLL_MS = 50;

/** Polls `probe` until it returns something truthy and returns that; after `deadlineMs` it fails, naming `what`. */
export async function until(what, probe, deadlineMs = 30_000) {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${deadlineMs} ms in vain until ${what}`);
    await pause(POLL_MS);
  }
}
