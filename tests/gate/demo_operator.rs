//! `h5gate demo --admin`: what an operator would see of a gate.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use crate::support::viewer::get;

/// Killed when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_h5gate"));
    command.arg("demo").args(arguments);
    command
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn the_operators_side_of_the_demo_is_there_when_it_is_asked_for() {
    let (listen, admin) = (free(), free());
    let arguments = [
        "--listen",
        &listen.to_string(),
        "--admin",
        &admin.to_string(),
    ];
    let mut demo = Demo(demo(&arguments).stdout(Stdio::piped()).spawn().unwrap());
    let told = BufReader::new(demo.0.stdout.take().unwrap()).lines();
    let line = told
        .map_while(Result::ok)
        .find(|line| line.contains("/metrics"));
    assert!(line.unwrap().contains(&format!("http://{admin}/metrics")));
    let metrics = crate::support::until("the operator's side", || {
        std::net::TcpStream::connect(admin).ok()?;
        Some(get(admin, "/metrics", &[]))
    });
    assert!(metrics.body.contains("h5gate_sessions"), "{metrics:?}");
    let sessions = get(admin, "/api/sessions", &[]);
    assert_eq!(sessions.body, r#"{"next":null,"sessions":[]}"#);
    assert_eq!(get(listen, "/metrics", &[]).status, 404);
}

#[test]
fn the_operators_side_of_the_demo_is_loopback_alone_and_on_a_port_that_is_free() {
    let listen = free().to_string();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (admin, said) in [
        ("0.0.0.0:0", "--admin must be a loopback address"),
        (&taken, "h5gate demo --admin"),
        (&listen, "admin.address: is the same as listener[0].address"),
    ] {
        let output = demo(&["--listen", &listen, "--admin", admin])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains(said), "{complaint}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}
