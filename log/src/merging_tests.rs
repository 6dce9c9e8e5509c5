use proptest::prelude::*;
use quipu_format::Scope;

use super::*;
use crate::{disk::Folder, reader::Direction, recent::Recent, sealed::Sealed, sidecar::tests::segment, spans::FAN};

/// Full segments that have their sidecars.
struct Written {
    temporary: tempfile::TempDir,
    files: Arc<OpenFiles>,
    recents: Vec<Recent>,
    sealed: Vec<Arc<Sealed>>,
}

impl Written {
    fn new(scopes: &[Vec<u16>]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let files = Arc::new(OpenFiles::new(folder.clone(), folder.clone()));
        let (mut recents, mut sealed, mut next) = (Vec::new(), Vec::new(), 0);
        for scopes in scopes {
            let recent = segment(next, scopes);
            Sidecar::write(&folder, &recent).unwrap();
            let count = u64::from(recent.len());
            sealed.push(Arc::new(Sealed::open(&files, next, count).unwrap().unwrap()));
            recents.push(recent);
            next += count;
        }
        Self {
            temporary,
            files,
            recents,
            sealed,
        }
    }

    fn parts(&self) -> Vec<Span> {
        spans::arrange(&self.sealed, &spans::find(&self.files, &self.sealed).unwrap())
    }

    fn merge(&self, parts: Vec<Span>, most: u32) -> Result<Merged> {
        let mut merging = Merging::begin(self.files.clone(), parts)?;
        loop {
            if let Some(merged) = merging.step(most)? {
                return Ok(merged);
            }
        }
    }

    fn merge_all(&self, most: u32) {
        while let Some(due) = spans::due(&self.parts(), &self.sealed) {
            self.merge(self.parts()[due].to_vec(), most).unwrap();
        }
    }

    /// What the segments hold of a scope.
    fn wanted(&self, scope: &Scope, range: &Range<u64>, direction: Direction, limit: usize) -> Vec<(u64, Place)> {
        let of_all = self.recents.iter();
        let mut all: Vec<_> = of_all
            .flat_map(|recent| recent.select(scope, range, Direction::Forward, usize::MAX))
            .collect();
        if direction == Direction::Backward {
            all.reverse();
        }
        all.truncate(limit);
        all
    }

    /// Every question to a merged sidecar: the answers are those of its segments, or it says that it is damaged.
    fn compare(&self, merged: &Merged, range: &Range<u64>, limit: usize) -> Result<()> {
        for scope in (0..9).map(|number| Scope::new(&format!("scope:{number}")).unwrap()) {
            for direction in [Direction::Forward, Direction::Backward] {
                for range in [0..u64::MAX, range.clone()] {
                    let within = range.start.max(merged.range.start)..range.end.min(merged.range.end);
                    assert_eq!(
                        merged.select(&scope, &range, direction, limit)?,
                        self.wanted(&scope, &within, direction, limit)
                    );
                }
            }
        }
        Ok(())
    }
}

fn scopes(segments: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<u16>>> {
    proptest::collection::vec(proptest::collection::vec(0_u16..8, 1..30), segments)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn merged_sidecars_answer_as_the_segments_do(
        scopes in scopes(1..80),
        start in 0_u64..900,
        length in 0_u64..900,
        limit in 1_usize..60,
        most in 1_u32..90,
    ) {
        let written = Written::new(&scopes);
        written.merge_all(most);
        let parts = written.parts();
        prop_assert!(parts.len() <= 3 * (FAN - 1), "{} parts of {}", parts.len(), scopes.len());
        let mut next = 0;
        for part in &parts {
            prop_assert_eq!(part.range().start, next);
            next = part.range().end;
            if let Span::Many(merged) = part {
                written.compare(merged, &(start..start + length), limit).unwrap();
            }
        }
        prop_assert_eq!(next, written.sealed.last().unwrap().end());
    }

    /// A flipped bit is found where it matters: no answer is ever another one.
    #[test]
    fn a_damaged_one_never_answers_otherwise(
        scopes in scopes(FAN..FAN + 1),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let written = Written::new(&scopes);
        let name = written.merge(written.parts(), u32::MAX).unwrap().name();
        let path = written.temporary.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        if let [Span::Many(merged)] = &written.parts()[..] {
            let error = written.compare(merged, &(0..u64::MAX), 1_000).expect_err("every block is read");
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        } else {
            prop_assert_eq!(written.parts().len(), FAN, "its first block is not whole");
        }
    }
}

/// Puts the checksums of a sidecar right, as one has them who means to deceive.
fn mend(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(crate::blocks::BLOCK_BYTES) {
        let (covered, crc) = block.split_last_chunk_mut::<8>().unwrap();
        *crc = quipu_format::checksum(covered);
    }
}

#[test]
fn a_sidecar_that_lies_is_not_merged_and_is_named() {
    let scopes = vec![vec![1, 1, 2, 2, 3, 3]; FAN];
    let block = crate::blocks::BLOCK_BYTES;
    // Blocks 2 and 3 of the sidecar: its scopes, and its postings.
    for (what, at, byte) in [
        ("a posting twice", 3 * block + 7, 0),
        ("one of no entry", 3 * block + 7, 99),
        ("postings skipped", 2 * block + 19, 1),
        ("a scope without postings", 2 * block + 23, 0),
        ("scopes out of order", 2 * block, 255),
    ] {
        let written = Written::new(&scopes);
        let path = written
            .temporary
            .path()
            .join(sidecar::file_name(written.sealed[3].first));
        let mut bytes = std::fs::read(&path).unwrap();
        // The first posting is 0, 2 or 4, and the one after it one more.
        bytes[at] = if what == "a posting twice" { bytes[at - 4] } else { byte };
        mend(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut merging = Merging::begin(written.files.clone(), written.parts()).unwrap();
        let error = merging.step(u32::MAX).err().unwrap_or_else(|| panic!("{what}"));
        assert_eq!((error.kind(), merging.suspect), (ErrorKind::Corrupt, Some(3)), "{what}");
    }
}

#[test]
fn what_is_not_of_these_segments_is_not_asked() {
    let written = Written::new(&vec![vec![1, 2, 3]; FAN + 1]);
    let name = written.merge(written.parts()[..FAN].to_vec(), 5).unwrap().name();
    assert_eq!(written.parts().len(), 2);
    for other in [
        "00000000000000000000-00000000000000000022.idx",
        "00000000000000000001-00000000000000000023.idx",
    ] {
        std::fs::copy(
            written.temporary.path().join(&name),
            written.temporary.path().join(other),
        )
        .unwrap();
    }
    assert_eq!(written.parts().len(), 2, "they end or begin within a segment");
    std::fs::rename(
        written.temporary.path().join(&name),
        written
            .temporary
            .path()
            .join("00000000000000000003-00000000000000000026.idx"),
    )
    .unwrap();
    written.files.forget(&name);
    assert_eq!(written.parts().len(), FAN + 1, "it is about others than its name says");
}
