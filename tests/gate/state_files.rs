//! A file of playbacks that cannot be used is set aside, and what is good in it goes on. Each of them is waited for by a
//! window of its own.

use std::fs::{self, File};

use rustix::process::Signal;

use crate::support::clock::MovedClock;
use crate::support::gate::{Gate, grant};
use crate::support::hls::{ask, begin, entry, outcome, play, server, session};
use crate::support::http_server::playlist;
use crate::support::restart::Restarts;
use crate::support::until;

const DRAIN: &str = "[timeouts]\ndrain = \"0s\"";

/// Ends a gate in good order.
fn end(mut gate: Gate) {
    gate.signal(Signal::TERM);
    assert!(gate.ended().success());
}

#[test]
fn a_damaged_file_is_set_aside_and_its_good_lines_go_on() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, DRAIN).by(&clock);
    let gate = restarts.start();
    let token = clock.expiring();
    let playbacks: Vec<_> = (0..4)
        .map(|cid| play(&gate, &entry(&token, &cid.to_string())))
        .collect();
    clock.pass(&token);
    end(gate);
    let file = restarts.file("hls-sessions");
    let good = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = good.lines().map(str::to_owned).collect();
    let line_of = |index: usize| {
        let name = session(&playbacks[index].0);
        let line = lines.iter().position(|line| line.starts_with(name));
        line.unwrap()
    };
    // The file, and which of the four are lost by that.
    let mut cases: Vec<(&str, Vec<u8>, Vec<usize>)> = Vec::new();
    let mut not_text = good.clone().into_bytes();
    let at = good.find(session(&playbacks[0].0)).unwrap();
    not_text[at + 20] = 0xFF;
    cases.push(("a byte that is no UTF-8", not_text, vec![0]));
    let mut flipped = good.clone().into_bytes();
    flipped[at] ^= 1;
    cases.push(("another name", flipped, vec![0]));
    let mut short = lines.clone();
    short.truncate(3);
    let left = |index: &usize| line_of(*index) >= 3;
    let behind: Vec<_> = (0..4).filter(left).collect();
    cases.push((
        "cut off",
        (short.join("\n") + "\n").into_bytes(),
        behind.clone(),
    ));
    let half = format!("{}\n{}", short.join("\n"), &lines[3][..30]);
    cases.push(("cut off in a line", half.into_bytes(), behind));
    let mut strange = lines.clone();
    strange.insert(2, "what is this".to_owned());
    cases.push((
        "a line too many",
        (strange.join("\n") + "\n").into_bytes(),
        vec![],
    ));
    for (what, bytes, lost) in cases {
        fs::write(&file, &bytes).unwrap();
        let gate = restarts.start();
        let line = gate.logged("the file of the playbacks was damaged");
        assert_eq!(line["lost"], lost.len(), "{what}: {line}");
        let aside = line["set_aside"].as_str().unwrap().to_owned();
        assert_eq!(fs::read(&aside).unwrap(), bytes, "{what}");
        for (index, (ticket, media, _)) in playbacks.iter().enumerate() {
            let answer = ask(&gate, media);
            if lost.contains(&index) {
                assert_eq!(outcome(&answer), (403, 4903), "{what}");
            } else {
                assert_eq!(answer.status, 200, "{what} {}", session(ticket));
            }
        }
        drop(gate);
        fs::remove_file(&aside).unwrap();
        // What the gate has written by now is whole.
        let gate = restarts.start();
        assert!(restarts.set_aside().is_empty(), "{what}");
        drop(gate);
    }
}

#[test]
fn what_is_no_file_of_playbacks_is_set_aside_and_the_gate_starts() {
    let server = server();
    let restarts = Restarts::new(server.address, None, DRAIN);
    let file = restarts.file("hls-sessions");
    let write = |bytes: &[u8]| fs::write(&file, bytes).unwrap();
    let cases: [(&str, &dyn Fn()); 8] = [
        ("empty", &|| write(b"")),
        ("no UTF-8", &|| write(b"\xFF")),
        ("of an earlier version", &|| {
            write(b"h5gate-sessions 1 1700000000\n");
        }),
        ("of a later version", &|| write(b"hls-sessions 3 {}\n")),
        ("a first line that is damaged", &|| {
            write(b"hls-sessions 2 17 0 0123456789abcdef\n");
        }),
        ("a directory", &|| fs::create_dir(&file).unwrap()),
        ("1 GiB", &|| {
            File::create(&file).unwrap().set_len(1 << 30).unwrap();
        }),
        ("a pipe", &|| drop(restarts.hang("hls-sessions"))),
    ];
    for (what, make) in cases {
        let _ = fs::remove_file(&file);
        make();
        let gate = restarts.start();
        let line = gate.logged("the file of the playbacks cannot be used, they are lost");
        let aside = restarts.set_aside();
        assert_eq!(aside.len(), 1, "{what}");
        assert_eq!(line["set_aside"], aside[0].to_str().unwrap(), "{what}");
        assert!(gate.memory() < 200 << 20, "{what}");
        // The rest goes on, and is kept.
        let (ticket, ..) = play(&gate, &entry(&grant("abcde-one"), "1"));
        end(gate);
        assert!(
            fs::read_to_string(&file)
                .unwrap()
                .contains(session(&ticket))
        );
        let _ = fs::remove_dir(&aside[0]);
        let _ = fs::remove_file(&aside[0]);
    }
}

#[test]
fn one_gibibyte_behind_a_good_beginning_is_not_read_to_its_end() {
    let server = server();
    let clock = MovedClock::default();
    let restarts = Restarts::new(server.address, None, DRAIN).by(&clock);
    let gate = restarts.start();
    let token = clock.expiring();
    let (_, media, _) = play(&gate, &entry(&token, "1"));
    clock.pass(&token);
    end(gate);
    let file = File::options()
        .write(true)
        .open(restarts.file("hls-sessions"))
        .unwrap();
    file.set_len(1 << 30).unwrap();
    let gate = restarts.start();
    assert_eq!(
        gate.logged("the file of the playbacks was damaged")["lost"],
        0
    );
    assert_eq!(ask(&gate, &media).status, 200);
    assert!(gate.memory() < 200 << 20);
}

#[test]
fn a_return_after_too_long_is_decided_anew_though_another_stream_has_long_targets() {
    let server = server();
    let clock = MovedClock::default();
    let hls = "[hls]\nsession_idle = \"2s\"";
    let restarts = Restarts::new(server.address, None, hls).by(&clock);
    let gate = restarts.start();
    let token = clock.expiring();
    let short = play(&gate, &entry(&token, "1"));
    let text = "#EXTM3U\n#EXT-X-TARGETDURATION:40\n#EXTINF:40,\n1.ts\n";
    server.set("/hls/abcde-one/low/media.m3u8", playlist(text));
    until("the other playlist", || {
        let (_, media, _) = play(&gate, &entry(&token, "2"));
        ask(&gate, &media).body.contains(":40").then_some(())
    });
    // The first one asks on with its own targets, so that both play when the gate is killed.
    let long = entry(&token, "2");
    until("both on the disk", || {
        assert_eq!(ask(&gate, &short.2[0]).status, 200);
        let saved = fs::read_to_string(restarts.file("hls-sessions")).unwrap();
        let both = saved.contains(session(&short.0)) && saved.contains(" 40000 ");
        both.then_some(())
    });
    let gate = restarts.killed(gate);
    let dormant = || gate.metric("h5gate_hls_playbacks{state=\"waiting\"}");
    until("the end of the first one's window", || {
        (dormant() == 1.0).then_some(())
    });
    clock.pass(&token);
    assert_eq!(outcome(&ask(&gate, &short.1)), (403, 4903));
    assert_eq!(begin(&gate, &long).0.status, 200);
}
