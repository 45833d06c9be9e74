//! What a process has used so far, as Linux tells it.

use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;

/// The processor time of a process, in user and kernel mode.
pub fn processor_time(process: u32) -> Duration {
    // Linux counts in hundredths of a second here, on every architecture.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let fields = stat.rsplit(')').next().expect("fields behind the name").split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// The memory of a process in MB: resident, and its share of what is resident.
pub fn memory_of(process: u32) -> (f64, f64) {
    (field(process, "status", "VmRSS:") * 1024.0 / MIB, field(process, "smaps_rollup", "Pss:") * 1024.0 / MIB)
}

/// The most resident memory that a process ever had, in MB.
pub fn peak_memory_of(process: u32) -> f64 {
    field(process, "status", "VmHWM:") * 1024.0 / MIB
}

/// How many threads a process has.
pub fn threads_of(process: u32) -> f64 {
    field(process, "status", "Threads:")
}

fn field(process: u32, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).expect("the process runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field is there");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}
