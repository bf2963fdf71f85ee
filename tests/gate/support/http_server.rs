//! A media server's HTTP side, as a script: what it answers to which path, and what it was asked.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::media_server::read_head;

/// What one path is answered with: the answer's head after the status line, and its body.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) fields: String,
    pub(crate) body: Vec<u8>,
}

/// It runs until the test's process ends.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    pages: Arc<Mutex<HashMap<String, Page>>>,
    heads: Arc<Mutex<Vec<String>>>,
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pages = pages
            .iter()
            .map(|(path, page)| ((*path).to_owned(), page.clone()));
        let server = Self {
            address: listener.local_addr().unwrap(),
            pages: Arc::new(Mutex::new(pages.collect())),
            heads: Arc::default(),
        };
        let (pages, heads) = (Arc::clone(&server.pages), Arc::clone(&server.heads));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (pages, heads) = (Arc::clone(&pages), Arc::clone(&heads));
                std::thread::spawn(move || serve(socket, &pages, &heads));
            }
        });
        server
    }

    /// Changes what a path is answered with.
    pub(crate) fn set(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> usize {
        let is_it = |head: &&String| target(head).split('?').next() == Some(path);
        self.heads().iter().filter(is_it).count()
    }
}

/// The request target of a head.
pub(crate) fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn serve(mut socket: TcpStream, pages: &Mutex<HashMap<String, Page>>, heads: &Mutex<Vec<String>>) {
    while let Some(head) = read_head(&mut socket) {
        let path = target(&head)
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let is_head = head.starts_with("HEAD ");
        heads.lock().unwrap().push(head);
        let nothing = Page {
            status: 404,
            fields: String::new(),
            body: Vec::new(),
        };
        let page = pages.lock().unwrap().get(&path).cloned().unwrap_or(nothing);
        let answer = page.head() + "\r\n";
        let body = if is_head { &[] } else { &page.body[..] };
        if socket
            .write_all(&[answer.as_bytes(), body].concat())
            .is_err()
        {
            return;
        }
    }
}
