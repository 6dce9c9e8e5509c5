//! The breaks: small changes of text, each of which takes away one thing that a promise rests on.

// Long because it is a list.

/// One thing that is taken away.
pub(super) struct Break {
    /// What the ledger does not do any more.
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    /// Text that is there once.
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// The suite that is run first.
    pub(super) killed_in: &'static str,
}

const RECOVERY: &str = "log/src/recovery.rs";
const SEGMENT: &str = "log/src/segment.rs";
const KEYFILE: &str = "log/src/keyfile.rs";

pub(super) const BREAKS: &[Break] = &[
    Break {
        name: "row a: a contradicted checkpoint refuses writing",
        file: RECOVERY,
        from: "    if let Some(why) = &findings.contradiction {",
        to: "    if let Some(why) = findings.contradiction.as_ref().filter(|_| false) {",
        killed_in: "recovery",
    },
    Break {
        name: "row b: a log that ends before its floor refuses writing",
        file: RECOVERY,
        from: "    if findings.next < findings.floor {",
        to: "    if false {",
        killed_in: "recovery",
    },
    Break {
        name: "row c: damage before a later commit refuses writing",
        file: RECOVERY,
        from: "    if let Some(what) = &findings.stray {",
        to: "    if let Some(what) = findings.stray.as_ref().filter(|_| false) {",
        killed_in: "recovery",
    },
    Break {
        name: "row d: a torn end is cleared away",
        file: RECOVERY,
        from: "    if !findings.rest.is_empty() {",
        to: "    if false {",
        killed_in: "recovery",
    },
    Break {
        name: "row e: a clean end is left as it is",
        file: RECOVERY,
        from: "    }\n    Row::E\n}",
        to: "    }\n    Row::D(findings.rest.clone())\n}",
        killed_in: "recovery",
    },
    Break {
        name: "the torn bytes are copied aside",
        file: RECOVERY,
        from: "            keep_torn(ledger, first, rest.start, &bytes)?;\n",
        to: "",
        killed_in: "recovery",
    },
    Break {
        name: "the torn bytes are cut off the segment",
        file: RECOVERY,
        from: "        file.set_len(position)?;\n",
        to: "",
        killed_in: "recovery",
    },
    Break {
        name: "the last commit is written again at open",
        file: RECOVERY,
        from: "        file.write_all_at(&self.last_commit, self.last_commit_at)?;\n",
        to: "",
        killed_in: "quipu-log",
    },
    Break {
        name: "what an open wrote is synced before it goes on",
        file: RECOVERY,
        from: "        file.sync_all()?;\n        segment::discard_next(log)?;\n",
        to: "        segment::discard_next(log)?;\n",
        killed_in: "quipu-log",
    },
    Break {
        name: "a scope with entries and without keys refuses writing",
        file: RECOVERY,
        from: "        if !keys.trees.contains_key(scope) {",
        to: "        if false && !keys.trees.contains_key(scope) {",
        killed_in: "recovery",
    },
    Break {
        name: "a commit is synced before it is acknowledged",
        file: SEGMENT,
        from: "        self.file.sync_data()?;\n        self.position =",
        to: "        self.position =",
        killed_in: "quipu-log",
    },
    Break {
        name: "filling ahead is synced before commits go there",
        file: SEGMENT,
        from: "            self.file.sync_all().map_err(|e| e.into_kind(ErrorKind::Unavailable))?;\n            self.filled = target;",
        to: "            self.filled = target;",
        killed_in: "quipu-log",
    },
    Break {
        name: "the folder is synced after a segment is renamed",
        file: SEGMENT,
        from: "            .and_then(|()| self.log.sync());\n        renamed",
        to: ";\n        renamed",
        killed_in: "quipu-log",
    },
    Break {
        name: "a rotation that failed at the rename stops the writer",
        file: SEGMENT,
        from: "could not be begun: open the ledger again\");\n            Error::new(ErrorKind::Unavailable, message)",
        to: "could not be begun: open the ledger again\");\n            Error::new(ErrorKind::Io, message)",
        killed_in: "segments",
    },
    Break {
        name: "the folder is synced after a checkpoint is renamed",
        file: "log/src/disk.rs",
        from: "        self.rename(&fresh, name)?;\n        self.sync()\n",
        to: "        self.rename(&fresh, name)\n",
        killed_in: "quipu-log",
    },
    Break {
        name: "a checkpoint is synced before it is published",
        file: "log/src/disk.rs",
        from: "        file.write_all_at(bytes, 0)?;\n        file.sync_all()?;\n        self.rename(&fresh, name)?;",
        to: "        file.write_all_at(bytes, 0)?;\n        self.rename(&fresh, name)?;",
        killed_in: "quipu-log",
    },
    Break {
        name: "keys are synced before the first entry of their scope",
        file: KEYFILE,
        from: "            .and_then(|()| self.file.sync_all().map_err(|e| e.into_kind(ErrorKind::Unavailable)));",
        to: ";",
        killed_in: "quipu-log",
    },
    Break {
        name: "the folder is synced after the key file is exchanged",
        file: KEYFILE,
        from: "        folder.exchange(FRESH, FILE)?;\n        folder.sync()?;\n        wipe(folder, FRESH)?;\n        Ok(Self {",
        to: "        folder.exchange(FRESH, FILE)?;\n        wipe(folder, FRESH)?;\n        Ok(Self {",
        killed_in: "quipu-log",
    },
    Break {
        name: "the key file's checksums are checked",
        file: "log/src/key_lines.rs",
        from: "    if quipu_format::checksum(body) != *crc {",
        to: "    if false && quipu_format::checksum(body) != *crc {",
        killed_in: "quipu-log",
    },
    Break {
        name: "a line's checksum is checked",
        file: "format/src/line.rs",
        from: "        if *crc != checksum(covered) {",
        to: "        if false && *crc != checksum(covered) {",
        killed_in: "recovery",
    },
    Break {
        name: "a sidecar's checksums are checked",
        file: "log/src/blocks.rs",
        from: "covered.ends_with(&number.to_be_bytes()) && checksum(covered) == *crc);",
        to: "covered.ends_with(&number.to_be_bytes()) && crc.len() == 8);",
        killed_in: "quipu-log",
    },
    Break {
        name: "the MAC of heads is checked",
        file: "log/src/heads.rs",
        from: "    if authenticate(secret, content.as_bytes()) != mac.parse().ok()? {",
        to: "    if authenticate(secret, content.as_bytes()) != mac.parse().ok()? && false {",
        killed_in: "quipu-log",
    },
    Break {
        name: "one writer alone takes the lock",
        file: "log/src/lock.rs",
        from: "        if !file.try_lock()? {\n            return Ok(None);",
        to: "        if false && !file.try_lock()? {\n            return Ok(None);",
        killed_in: "append",
    },
    Break {
        name: "after a failed commit nothing more is taken",
        file: "log/src/sequencer.rs",
        from: "            self.broken.get_or_insert_with(|| error.clone());\n",
        to: "",
        killed_in: "quipu-log",
    },
    Break {
        name: "entries of a newer format are left alone",
        file: "log/src/scan.rs",
        from: "        (version > 1).then_some((at + range.start, version))",
        to: "        (version > 9).then_some((at + range.start, version))",
        killed_in: "frozen",
    },
];
