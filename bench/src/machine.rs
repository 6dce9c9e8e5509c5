//! The machine that figures are of, and how much of it others used meanwhile.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use serde_json::{Map, Value};

use crate::Result;

/// What of the machine bears on the figures. No names: figures are for showing.
pub(crate) fn describe(folder: &Path) -> Result<Map<String, Value>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .and_then(|line| line.split_once(": "));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut machine = Map::new();
    machine.insert("processor".into(), model.map_or("unknown", |(_, model)| model).into());
    machine.insert("cores".into(), thread::available_parallelism()?.get().into());
    machine.insert("kernel".into(), kernel.trim().into());
    machine.insert(
        "file_system".into(),
        file_system(folder).unwrap_or_else(|| "unknown".into()).into(),
    );
    machine.insert("quipu".into(), env!("CARGO_PKG_VERSION").into());
    Ok(machine)
}

/// Type of the file system that holds the folder: of the longest mount point above it.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(point).then(|| (point.len(), kind.to_owned()))
    });
    mounts.max_by_key(|(length, _)| *length).map(|(_, kind)| kind)
}

/// Measures what the machine does meanwhile.
pub(crate) struct Watch {
    begin: Instant,
    ticks: (u64, u64),
    /// Counters of the disk below, and its flushes so far.
    disk: Option<(PathBuf, u64)>,
}

/// What [`Watch`] saw.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Cores that other processes kept busy, on average, to two decimals.
    pub(crate) others_cores: f64,
    /// Cache flushes a second that the disk completed, whoever asked for them. None: they say nothing here.
    pub(crate) flushes: Option<f64>,
}

/// Unit of the times in `/proc` on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

impl Watch {
    /// From now on; of the disk that holds the folder.
    pub(crate) fn start(folder: &Path) -> Self {
        Self {
            begin: Instant::now(),
            ticks: (all_ticks(), own_ticks()),
            disk: disk_counters(folder).and_then(|counters| {
                let before = flushes(&counters)?;
                Some((counters, before))
            }),
        }
    }

    /// Until now.
    pub(crate) fn load(&self) -> Load {
        let seconds = self.begin.elapsed().as_secs_f64();
        let all = all_ticks().saturating_sub(self.ticks.0);
        let own = own_ticks().saturating_sub(self.ticks.1);
        let cores = all.saturating_sub(own) as f64 / TICKS_PER_SECOND / seconds;
        let since = |(path, before): &(PathBuf, u64)| Some(flushes(path)?.saturating_sub(*before) as f64 / seconds);
        Load {
            others_cores: (cores * 100.0).round() / 100.0,
            flushes: self.disk.as_ref().and_then(since),
        }
    }
}

/// The counters of the disk that holds the folder. A partition does not count flushes; the disk that it is of does.
/// None where what is durable need not be flushed: the disk has no volatile cache, or can write past it (FUA).
fn disk_counters(folder: &Path) -> Option<PathBuf> {
    let device = fs::metadata(folder).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let mut disk = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"))
        .canonicalize()
        .ok()?;
    if disk.join("partition").exists() {
        disk.pop();
    }
    let queue = |name: &str| fs::read_to_string(disk.join("queue").join(name)).ok();
    let must_flush = queue("write_cache")?.trim() == "write back" && queue("fua")?.trim() == "0";
    must_flush.then(|| disk.join("stat"))
}

/// Flush requests completed: the 16th field of a disk's counters.
fn flushes(counters: &Path) -> Option<u64> {
    let counters = fs::read_to_string(counters).ok()?;
    counters.split_whitespace().nth(15)?.parse().ok()
}

/// user, nice, system, irq and softirq of all processors.
fn all_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split(' ')
        .filter_map(|field| field.parse().ok())
        .collect();
    [0, 1, 2, 5, 6].iter().filter_map(|&i| fields.get(i)).sum()
}

/// Seconds of processor time that this process has had, all its threads together.
pub(crate) fn processor_seconds() -> f64 {
    own_ticks() as f64 / TICKS_PER_SECOND
}

/// utime and stime of this process: the 14th and 15th field; the second is a name in brackets.
fn own_ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}
