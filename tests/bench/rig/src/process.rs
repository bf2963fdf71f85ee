//! What a process has used, from `/proc`.

use std::fs;

use crate::Result;

/// Processor time of all its threads that live, nanoseconds.
pub fn cpu(pid: u32) -> Result<u64> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        let ran = text.split_whitespace().next().ok_or("schedstat is empty")?;
        total += ran.parse::<u64>()?;
    }
    Ok(total)
}

/// What was used since [`cpu`] was `before`: nothing, should a thread have ended that had used more.
pub fn cpu_since(pid: u32, before: u64) -> Result<u64> {
    Ok(cpu(pid)?.saturating_sub(before))
}

/// Its share of physical memory (PSS), bytes.
pub fn memory(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no Pss in smaps_rollup")?.parse::<u64>()? * 1024)
}
