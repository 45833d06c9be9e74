//! dkimpy as the judge of our signatures: `check_dkim.py` beside this file asks it.

use super::process::find;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

/// One signature as it was judged: domain, selector, algorithm, and whether it holds.
pub type Judged = (String, String, String, bool);

/// Judges the signatures of messages (CRLF line ends) by DNS records that are given, not looked up. `None` if dkimpy is
/// missing and may be.
pub fn judge(records: &BTreeMap<String, String>, messages: &[&[u8]]) -> Option<Vec<Vec<Judged>>> {
    let python = python_with_dkim()?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let table = folder.path().join("records.json");
    fs::write(&table, serde_json::to_vec(records).expect("a table")).expect("records are written");
    let path = |number: usize| -> PathBuf { folder.path().join(format!("{number}.eml")) };
    for (number, message) in messages.iter().enumerate() {
        fs::write(path(number), message).expect("a message is written");
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/peers/check_dkim.py");
    let output = Command::new(python)
        .args(["-I", script])
        .arg(&table)
        .args((0..messages.len()).map(path))
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let judged: Vec<Vec<Judged>> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("check_dkim.py: {error}\n{said}"));
    assert_eq!(judged.len(), messages.len());
    Some(judged)
}

/// A Python that has dkimpy: the distribution's own may not be the first of the search path.
fn python_with_dkim() -> Option<PathBuf> {
    let candidates = [find("python3")?, PathBuf::from("/usr/bin/python3")];
    let has = |python: &&PathBuf| {
        let asked = Command::new(python).args(["-I", "-c", "import dkim, nacl"]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let found = candidates.iter().find(has).cloned();
    if found.is_none() {
        assert!(
            std::env::var("POSTROOM_TESTS_WITHOUT_PEERS").is_ok_and(|value| value == "1"),
            "python3-dkim and python3-nacl are not installed. Run tests/run, or set POSTROOM_TESTS_WITHOUT_PEERS=1."
        );
        let _ = writeln!(std::io::stderr(), "SKIPPED: dkimpy is missing, and with it what this test proves");
    }
    found
}
