use super::smtp_sink::{Options, SmtpSink, SmtpSource};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

/// Says each line, reads each answer (of one line or many).
struct Talk(BufReader<TcpStream>);

impl Talk {
    fn to(sink: &SmtpSink) -> Self {
        let mut talk = Self(BufReader::new(TcpStream::connect(sink.address).unwrap()));
        assert!(talk.answer().starts_with("220 sink.test"));
        talk
    }

    fn say(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.answer()
    }

    fn answer(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }
}

#[test]
fn the_sink_gives_back_envelope_and_message() {
    let Some(sink) = SmtpSink::start(&Options::default()) else { return };
    let mut talk = Talk::to(&sink);
    talk.say("EHLO client.test");
    talk.say("MAIL FROM:<ann@mail.test> BODY=8BITMIME");
    talk.say("RCPT TO:<bob@mail.test>");
    talk.say("RCPT TO:<eve@mail.test>");
    assert!(talk.say("DATA").starts_with("354"));
    talk.0.get_mut().write_all(b"X-Mail-Args: mine\r\nReceived: earlier\r\n\r\n..dot\r\n\r\n").unwrap();
    assert!(sink.received().is_empty(), "what has not ended was not received");
    assert!(talk.say(".").starts_with("250"));
    let [message] = &sink.received()[..] else { panic!("not one message: {:?}", sink.received()) };
    assert_eq!((message.helo.as_str(), message.sender.as_str()), ("client.test", "ann@mail.test"));
    assert_eq!(message.parameters, "BODY=8BITMIME");
    assert_eq!(message.recipients, ["bob@mail.test", "eve@mail.test"]);
    let raw = String::from_utf8_lossy(&message.raw);
    assert_eq!(raw, "X-Mail-Args: mine\r\nReceived: earlier\r\n\r\n.dot\r\n\r\n");
}

#[test]
fn a_message_given_up_halfway_was_not_received() {
    let Some(sink) = SmtpSink::start(&Options::default()) else { return };
    let mut talk = Talk::to(&sink);
    for line in ["EHLO client.test", "MAIL FROM:<>", "RCPT TO:<bob@mail.test>", "DATA"] {
        talk.say(line);
    }
    talk.0.get_mut().write_all(b"Subject: half\r\n").unwrap();
    drop(talk);
    let mut talk = Talk::to(&sink);
    for line in ["EHLO client.test", "MAIL FROM:<>", "RCPT TO:<bob@mail.test>", "DATA", "Subject: whole\r\n\r\n."] {
        talk.say(line);
    }
    let received = sink.wait_for(1);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].raw, b"Subject: whole\r\n\r\n");
}

#[test]
fn the_source_fills_the_sink() {
    let options = Options { concurrency: 4, ..Options::default() };
    let Some(sink) = SmtpSink::start(&options) else { return };
    let load = SmtpSource { sessions: 2, messages: 20, size: 3000, reuse: true };
    let Some(_) = load.run(sink.address) else { return };
    assert_eq!(sink.received().len(), 20);
    let refusing = Options { extra: vec!["-f".to_owned(), "RCPT".to_owned()], keep: false, ..Options::default() };
    let Some(sink) = SmtpSink::start(&refusing) else { return };
    let mut talk = Talk::to(&sink);
    talk.say("EHLO client.test");
    talk.say("MAIL FROM:<ann@mail.test>");
    assert!(talk.say("RCPT TO:<bob@mail.test>").starts_with("500"));
}
