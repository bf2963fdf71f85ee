//! Every answer of the token API is logged once, and neither tokens nor keys ever are.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::token_api_service::{
    BODY, JSON, KEY, OTHER_KEY, Service, WITH_KEY, good, request,
};

#[tokio::test]
async fn every_answer_is_logged_once_without_its_secrets() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let service = Service::default();
    let _logged = tracing::subscriber::set_default(subscriber);

    let reply = service.ask(&good()).await;
    let token = reply.body["h5live"]["security"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let event = log.ours();
    assert_eq!(
        (
            &event["message"],
            &event["level"],
            &event["api_key"],
            &event["organisation"],
            &event["count"]
        ),
        (
            &json!("token minted"),
            &json!("INFO"),
            &json!("shop"),
            &json!("abcde"),
            &json!(1)
        )
    );
    let batch = r#"{"streamnames":["abcde-one","abcde-two"]}"#;
    service
        .ask(&request("POST", &[WITH_KEY, JSON], batch))
        .await;
    assert_eq!(log.ours()["count"], json!(2));

    let bad_key = request("POST", &["X-BINTU-APIKEY: guess-number-one", JSON], BODY);
    service.ask(&bad_key).await;
    let event = log.ours();
    assert_eq!(
        (&event["message"], &event["error"], &event["api_key"]),
        (
            &json!("no token minted"),
            &json!("api_key_unknown"),
            &Value::Null
        )
    );
    let bad_field = r#"{"streamname":"abcde-one","tag":"a\nforged line","secret":"abc"}"#;
    service
        .ask(&request("POST", &[WITH_KEY, JSON], bad_field))
        .await;
    let event = log.ours();
    assert_eq!(
        (
            &event["level"],
            &event["error"],
            &event["api_key"],
            &event["organisation"]
        ),
        (
            &json!("INFO"),
            &json!("unknown_field"),
            &json!("shop"),
            &json!("abcde")
        )
    );
    // No active key: the operator's to mend.
    let late = format!("X-BINTU-APIKEY: {OTHER_KEY}");
    let body = r#"{"streamname":"klmno-one"}"#;
    let reply = service.ask(&request("POST", &[&late, JSON], body)).await;
    assert_eq!(reply.status, 503);
    let event = log.ours();
    assert_eq!(
        (&event["level"], &event["error"], &event["organisation"]),
        (&json!("ERROR"), &json!("no_active_key"), &json!("klmno"))
    );

    let all = log.all();
    assert!(!all.is_empty());
    for secret in [
        KEY,
        OTHER_KEY,
        "guess-number-one",
        &token,
        "h1.",
        "forged line",
        "secret",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

/// What was logged, and how much of it a test has seen.
#[derive(Clone, Default)]
struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    seen: Arc<Mutex<usize>>,
}

impl Log {
    fn all(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// The one event of ours since the last look.
    fn ours(&self) -> Value {
        let all = self.all();
        let mut seen = self.seen.lock().unwrap();
        let lines = all[*seen..]
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = |line: &Value| line["target"].as_str().unwrap().starts_with("h5gate");
        let mut events: Vec<_> = lines.filter(ours).collect();
        *seen = all.len();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
