use proptest::prelude::*;
use quipu_format::{Actor, Envelope, Hash, Kind};

use super::*;
use crate::{ErrorKind, blocks::BLOCK_BYTES, recent::Listed};

const FIRST: u64 = 1_000;

/// A segment of entries in these scopes, every third with an idempotency key.
pub(crate) fn segment(first: u64, scopes: &[u16]) -> Recent {
    let mut recent = Recent::new(first);
    let mut offset = 0;
    for (number, scope) in scopes.iter().enumerate() {
        let seq = first + number as u64;
        let ms = 10_000 + seq / 4;
        let mut envelope = Envelope::new(
            seq,
            EventId(Ulid::from_parts(ms, u128::from(seq))),
            Timestamp::from_ms(ms),
            Actor::new("agent:test").unwrap(),
            Kind::new("memory.write").unwrap(),
            Scope::new(&format!("scope:{scope}")).unwrap(),
            number as u32,
            Hash::of_nothing(),
            Hash::of_nothing(),
        );
        envelope.key = (number % 3 == 0).then_some(IdempotencyKey([number as u8; 16]));
        let length = 500 + number % 7;
        recent.push(
            Listed::of(&envelope, Hash::of(&[&seq.to_be_bytes()]), length as u32),
            offset..offset + length,
        );
        offset += length;
    }
    recent
}

struct Written {
    temporary: tempfile::TempDir,
    files: Arc<OpenFiles>,
    recent: Recent,
}

impl Written {
    fn new(scopes: &[u16]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let recent = segment(FIRST, scopes);
        Sidecar::write(&folder, &recent).unwrap();
        Self {
            files: Arc::new(OpenFiles::new(folder.clone(), folder)),
            temporary,
            recent,
        }
    }

    fn open(&self) -> Option<Sidecar> {
        Sidecar::open(&self.files, FIRST, u64::from(self.recent.len())).unwrap()
    }

    /// Every question, to both: the answers are the same, or the sidecar says that it is damaged.
    fn compare(&self, sidecar: &Sidecar, range: Range<u64>, limit: usize) -> Result<()> {
        let recent = &self.recent;
        for number in 0..recent.len() + 2 {
            assert_eq!(sidecar.place(number)?, recent.place(number));
        }
        for id in &recent.ids {
            for id in [Ulid(id.0 - 1), *id, Ulid(id.0 + 1)].map(EventId) {
                assert_eq!(sidecar.find(id)?, recent.find(id));
            }
            let ts = Timestamp::from_ms(id.timestamp_ms());
            assert_eq!(sidecar.number_at(ts)?, recent.number_at(ts));
        }
        let absent = Scope::new("scope:absent").unwrap();
        for scope in recent.scopes.keys().chain([&absent]) {
            for direction in [Direction::Forward, Direction::Backward] {
                for range in [0..u64::MAX, range.clone()] {
                    assert_eq!(
                        sidecar.select(scope, &range, direction, limit)?,
                        recent.select(scope, &range, direction, limit)
                    );
                }
            }
        }
        assert_eq!(sidecar.keyed()?, recent.keyed);
        assert_eq!(sidecar.entry_bytes, recent.entry_bytes);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_sidecar_answers_as_the_segment_does(
        scopes in proptest::collection::vec(0_u16..400, 1..900),
        start in FIRST - 50..FIRST + 900,
        length in 0_u64..900,
        limit in 1_usize..50,
    ) {
        let written = Written::new(&scopes);
        let sidecar = written.open().unwrap();
        written.compare(&sidecar, start..start + length, limit).unwrap();
    }

    /// A flipped bit is found where it matters: no answer is ever another one.
    #[test]
    fn a_damaged_sidecar_never_answers_otherwise(
        scopes in proptest::collection::vec(0_u16..100, 1..400),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let written = Written::new(&scopes);
        let path = written.temporary.path().join(file_name(FIRST));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        std::fs::write(&path, bytes).unwrap();
        let answered = written.open().map(|sidecar| written.compare(&sidecar, 0..u64::MAX, 1_000));
        if let Some(Err(error)) = answered {
            prop_assert_eq!(error.kind(), ErrorKind::Corrupt);
        } else {
            prop_assert!(answered.is_none(), "byte {} is in no block that was read", at);
        }
    }
}

#[test]
fn a_sidecar_of_another_segment_or_cut_off_is_none() {
    let written = Written::new(&[1, 2, 3]);
    assert!(Sidecar::open(&written.files, FIRST, 4).unwrap().is_none());
    assert!(Sidecar::open(&written.files, FIRST + 1, 3).unwrap().is_none());
    let path = written.temporary.path().join(file_name(FIRST));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - BLOCK_BYTES - 1]).unwrap();
    let sidecar = written.open().unwrap();
    assert_eq!(sidecar.keyed().unwrap_err().kind(), ErrorKind::Corrupt);
}
