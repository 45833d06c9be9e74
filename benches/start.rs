//! Start, and memory at rest: from the start of the process to the first answer, and what it holds five seconds later.

use crate::figures::{Samples, Table, millis};
use crate::house::{self, House};
use crate::load;
use crate::peers::process::free_port;
use crate::support::binary::{Binary, Home};
use crate::usage::memory_of;
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STARTS: usize = 9;
const MAILBOXES: usize = 1000;

pub async fn measure(table: &mut Table) {
    let size = std::fs::metadata(Binary::path()).expect("the binary").len();
    #[expect(clippy::cast_precision_loss, reason = "a size in MB")]
    let size = size as f64 / 1e6;
    table.add("Binary", "MB", &Samples::of([size]), Some("< 16"), None);

    let empty = Samples::of((0..STARTS).map(|_| millis(first_answer(&Home::new(), "/healthz").0)));
    table.add("First start, store and key made", "ms", &empty, None, None);

    let home = house::home().await;
    let house = House::serve(&home);
    load::so_many(house.address, MAILBOXES, 201, |number| {
        // A server that is not there: what a mailbox costs, not what its host does.
        let attributes = json!({
            "imapHost": "127.0.0.1", "imapPort": 1, "smtpHost": "127.0.0.1", "smtpPort": 1, "password": "secret",
            "syncDisabled": true,
        });
        let document = house::mailbox(&format!("box{number}@example.org"), &attributes);
        load::request("POST", "/api/v2/mailboxes", &house::token(number), Some(&document))
    })
    .await;
    let (resident, _) = memory_of(house.server.id());
    println!("after {MAILBOXES} creates by {} connections: VmRSS {resident:.1} MB", load::CONNECTIONS);
    assert!(house.server.stop().success());

    let floor = Samples::of((0..STARTS).map(|_| millis(of_a_process())));
    let starts = Samples::of((0..STARTS).map(|_| millis(first_answer(&home, "/healthz").0)));
    let floor = crate::figures::Beside { name: "postroom --version", value: floor.median() };
    table.add("Start with 1,000 mailboxes to the first 200", "ms", &starts, Some("< 50"), Some(floor));

    let (mut resident, mut proportional) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (_, child) = first_answer(&home, "/healthz");
        std::thread::sleep(Duration::from_secs(5));
        let (rss, pss) = memory_of(child.0.id());
        resident.push(rss);
        proportional.push(pss);
    }
    table.add("Idle, 1,000 mailboxes: VmRSS", "MB", &Samples::of(resident), Some("< 25"), None);
    table.add("Idle, 1,000 mailboxes: Pss", "MB", &Samples::of(proportional), None, None);
}

/// A server that ends, suddenly, when it is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From the start of `postroom serve` to its first 200.
pub fn first_answer(home: &Home, path: &str) -> (Duration, Running) {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = home.command_on_data(&["serve", "--listen", &address.to_string()]);
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let running = Running(child.expect("the binary starts"));
    while !answers(address, path) {
        assert!(start.elapsed() < Duration::from_mins(5), "the server does not answer");
        std::thread::sleep(Duration::from_micros(200));
    }
    (start.elapsed(), running)
}

fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let mut answer = String::new();
    let asked = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

/// What a process of the same binary costs that does nothing.
fn of_a_process() -> Duration {
    let start = Instant::now();
    let status = Command::new(Binary::path()).arg("--version").stdout(Stdio::null()).status();
    assert!(status.expect("the binary starts").success());
    start.elapsed()
}
