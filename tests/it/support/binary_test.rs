use super::binary::{Binary, Home};
use super::client::{Client, Request};
use super::server::{Server, url_in};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

#[test]
fn the_url_is_found_in_whatever_is_printed() {
    for (line, url) in [
        ("http://127.0.0.1:8025", Some("http://127.0.0.1:8025")),
        ("Postroom listens on http://127.0.0.1:40123/.", Some("http://127.0.0.1:40123")),
        (r#"{"url":"http://127.0.0.1:1/","uiLink":"x"}"#, Some("http://127.0.0.1:1")),
        (r#"{"docs":"https://example.org/","url":"http://[::1]:80"}"#, Some("http://[::1]:80")),
        ("listening on http://127.0.0.1:0", None),
        ("see https://example.org:443/", None),
        ("http", None),
    ] {
        assert_eq!(url_in(line).as_deref(), url, "{line}");
    }
}

#[test]
fn a_home_is_empty_and_apart() {
    assert!(Binary::path().is_file());
    let (one, other) = (Home::new(), Home::new());
    assert_ne!(one.path(), other.path());
    assert!(one.data().is_dir() && !one.key_file().exists() && !one.config_file().exists());
}

#[tokio::test]
async fn the_client_sends_what_it_is_told_and_reads_the_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let body = r#"{"errors":[{"source":{"pointer":"/data"}}]}"#;
        let head = "HTTP/1.1 422 X\r\nContent-Type: application/vnd.api+json\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let request = Request { method: "POST", path: "/a?b=c", headers: &[("X-One", "1")], body: None };
    let answer = Client::new(&base, Some("secret")).send(request).await.checked().expect(422);
    assert_eq!(answer.blamed(), Some("/data"));
    let said = server.join().unwrap().to_lowercase();
    for part in ["post /a?b=c http/1.1\r\n", "x-one: 1\r\n", "authorization: bearer secret\r\n"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_server_is_found_by_the_url_on_its_standard_output_and_ends_by_signal() {
    // The trap first: the signal may follow the URL at once.
    let script = "trap 'echo bye; exit 7' TERM; echo log: http://127.0.0.1:1 >&2; echo http://127.0.0.1:2/; \
                  while :; do sleep 0.02; done";
    let mut server = Server::spawn(Command::new("/bin/sh").args(["-c", script])).ok().unwrap();
    assert_eq!(server.url, "http://127.0.0.1:2");
    server.signal("TERM");
    assert!(server.logged("bye") && !server.logged("never"), "{}", server.logs());
    assert_eq!(server.wait().code(), Some(7));
}

#[test]
fn a_server_that_ends_without_a_url_gives_its_exit_code_and_both_outputs() {
    let script = "echo out; echo http://127.0.0.1:1 >&2; exit 78";
    let ended = Server::spawn(Command::new("/bin/sh").args(["-c", script])).err().unwrap();
    assert_eq!(ended.failed(78), "http://127.0.0.1:1");
    assert_eq!(ended.stdout, "out");
}
