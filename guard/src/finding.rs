use std::{fmt, ops::Range};

use zeroize::Zeroizing;

/// Something in a JSON text that looks like a secret. It says where, and never what: neither `Display` nor `Debug` shows it.
#[derive(Clone)]
pub struct Finding {
    /// Which rule says so.
    pub rule: &'static str,
    /// The member that it is in, as far as that may be told: for example `text`.
    pub field: String,
    /// Where it stands, encoded as it may be, in bytes of the text that was given. Where a token is in several pieces, from
    /// the first piece in the text to the last.
    pub range: Range<usize>,
    /// Its beginning is in an earlier entry of the same actor, its end here.
    pub begun_before: bool,
    pub(crate) value: Zeroizing<String>,
}

impl Finding {
    /// Where it is, in a sentence, in the body's member of that name (`payload`, `source`).
    pub fn in_member(&self, member: &str) -> String {
        let Self { rule, field, range, .. } = self;
        let field = if field.is_empty() {
            String::new()
        } else {
            format!(" ({field})")
        };
        let begun = if self.begun_before {
            ", begun in an earlier entry of this actor,"
        } else {
            ""
        };
        format!(
            "rule {rule}, bytes {} to {} of the {member}{field}{begun}",
            range.start, range.end
        )
    }
}

impl fmt::Debug for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finding")
            .field("rule", &self.rule)
            .field("field", &self.field)
            .field("range", &self.range)
            .field("begun_before", &self.begun_before)
            .finish_non_exhaustive()
    }
}
