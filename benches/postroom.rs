//! How fast Postroom is, beside what others do to the same end on the same machine in the same run.
//!
//! `cargo bench --bench postroom -- [SECTION…]` runs the sections that are named, else all, and ends with a table in
//! Markdown. Nothing here decides whether a test passes. Each section measures several times and gives the median;
//! the spread of the runs is printed on the way. What is measured is the release binary, from outside: over its API,
//! with real mail servers (Dovecot, smtp-sink) as peers and Postfix's smtp-source and isync's mbsync to compare with.
//!
//! - `figures`: medians, rates, the table.
//! - `load`: an HTTP/1.1 client that costs little; it shares the processor with the server.
//! - `mailbox`, `mbsync`: a large mailbox in Dovecot, and the peer that pulls it.
//! - `house`: a served instance with administrators, tokens and mailboxes.
//! - `usage`: what a process costs.
//! - one file per section.

mod crash;
mod creates;
mod figures;
mod first_sync;
mod fleet;
mod house;
mod load;
mod mailbox;
mod mailings;
mod mbsync;
mod polls;
mod reads;
mod search;
mod sending;
mod start;
mod usage;

#[allow(dead_code, reason = "the tests' fixtures offer more than is measured")]
#[path = "../tests/it/peers"]
mod peers {
    pub mod authority;
    pub mod dovecot;
    pub mod process;
    pub mod smtp_sink;
}

#[allow(dead_code, reason = "as above")]
#[path = "../tests/it/support"]
mod support {
    pub mod binary;
    pub mod server;
}

use figures::Table;

const SECTIONS: &[&str] =
    &["start", "creates", "reads", "mailings", "sending", "sync", "polls", "search", "fleet", "crash"];

fn main() {
    // `cargo bench` adds `--bench`; `cargo test --benches` must not measure anything.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let wanted: Vec<&str> =
        arguments.iter().map(String::as_str).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(unknown) = wanted.iter().find(|name| !SECTIONS.contains(name)) {
        eprintln!("There is no section {unknown}; there are: {}", SECTIONS.join(" "));
        std::process::exit(2);
    }
    // One thread: the other cores are the server's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut table = Table::default();
    for section in SECTIONS.iter().filter(|section| wanted.is_empty() || wanted.contains(section)) {
        println!("\n== {section}");
        runtime.block_on(async {
            match *section {
                "start" => start::measure(&mut table).await,
                "creates" => creates::measure(&mut table).await,
                "reads" => reads::measure(&mut table).await,
                "mailings" => mailings::measure(&mut table).await,
                "sending" => sending::measure(&mut table).await,
                "sync" => first_sync::measure(&mut table).await,
                "polls" => polls::measure(&mut table).await,
                "search" => search::measure(&mut table).await,
                "fleet" => fleet::measure(&mut table).await,
                _ => crash::measure(&mut table).await,
            }
        });
    }
    println!("\n{table}");
}
