//! A media server's HTTP side, as a script: what it answers to which path, and what it was asked.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use super::media_server::{FromGate, MediaServer, target};

/// What one path is answered with: the answer's head after the status line, and its body.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
}

/// A media server of pages.
pub(crate) struct HttpServer {
    server: MediaServer,
    pages: Arc<Mutex<HashMap<String, Page>>>,
}

pub(crate) fn playlist(text: &str) -> Page {
    page("application/vnd.apple.mpegurl", text.as_bytes())
}

pub(crate) fn segment(body: &[u8]) -> Page {
    page("video/mp2t", body)
}

pub(crate) fn page(kind: &str, body: &[u8]) -> Page {
    Page {
        status: 200,
        fields: format!("Content-Type: {kind}\r\n"),
        body: body.to_vec(),
    }
}

impl Page {
    /// The whole answer on a connection that ends with it.
    pub(crate) fn last(&self) -> Vec<u8> {
        let head = format!("{}Connection: close\r\n\r\n", self.head());
        [head.as_bytes(), &self.body].concat()
    }

    fn head(&self) -> String {
        format!(
            "HTTP/1.1 {} X\r\nContent-Length: {}\r\n{}",
            self.status,
            self.body.len(),
            self.fields
        )
    }
}

impl HttpServer {
    /// Answers each path (without the query) with its page, and all others with 404.
    pub(crate) fn start(pages: &[(&str, Page)]) -> Self {
        let pages = pages
            .iter()
            .map(|(path, page)| ((*path).to_owned(), page.clone()));
        let pages = Arc::new(Mutex::new(pages.collect()));
        let known = Arc::clone(&pages);
        let server = MediaServer::start(move |gate| serve(gate, &known));
        Self { server, pages }
    }

    /// Changes what a path is answered with.
    pub(crate) fn set(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }
}

/// Where it is, and what it was asked.
impl Deref for HttpServer {
    type Target = MediaServer;

    fn deref(&self) -> &MediaServer {
        &self.server
    }
}

fn serve(mut gate: FromGate, pages: &Mutex<HashMap<String, Page>>) {
    loop {
        let path = target(&gate.head).split('?').next().unwrap_or_default();
        let nothing = Page {
            status: 404,
            fields: String::new(),
            body: Vec::new(),
        };
        let page = pages.lock().unwrap().get(path).cloned().unwrap_or(nothing);
        let is_head = gate.head.starts_with("HEAD ");
        let body = if is_head { &[] } else { &page.body[..] };
        gate.send_raw(&[page.head().as_bytes(), b"\r\n", body].concat());
        if !gate.next_request() {
            return;
        }
    }
}
