use quipu_guest::{Event, EventId, Source};

/// What somebody said to or about a customer.
pub(crate) struct Message {
    pub(crate) id: EventId,
    pub(crate) speaker: String,
    pub(crate) day: String,
    pub(crate) is_decision: bool,
    pub(crate) text: String,
    pub(crate) source: Option<Source>,
}

impl Message {
    /// None: it is not a message or a decision, has been erased, or was appended by a run. The word of a run is an
    /// agent's, whoever its source claims to be; an operator's import comes from no run and may say for whom it speaks.
    pub(crate) fn from_event(event: Event) -> Option<Self> {
        let is_decision = event.kind == "decision";
        if event.run.is_some() || !(is_decision || event.kind == "message") {
            return None;
        }
        let text = unquoted(&event.text()?);
        let original = event.original().unwrap_or_default();
        let ts = original.ts.unwrap_or(event.ts);
        Some(Self {
            id: event.id,
            speaker: original.actor.unwrap_or(event.actor),
            day: ts.split('T').next().unwrap_or_default().to_owned(),
            is_decision,
            text,
            source: event.source,
        })
    }

    /// Whether its speaker may say what the customer wants: its own users may; our staff only where they record a
    /// decision as such. Nobody else: not a web form that says it is the customer, not a page that a tool fetched, not
    /// another agent's belief. What a text asks to be remembered makes no difference.
    pub(crate) fn is_trusted(&self, customer: &str) -> bool {
        match self.speaker.split_once(':') {
            Some(("user", name)) => name.split_once('/').is_some_and(|(company, _)| company == customer),
            Some(("staff", _)) => self.is_decision,
            _ => false,
        }
    }
}

/// Without quoted lines: forwarded words are not the speaker's own.
fn unquoted(text: &str) -> String {
    let own: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('>'))
        .collect();
    own.join("\n").trim().to_owned()
}
