//! Dates that a question names.

use crate::shelf::Judged;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Months that are words of other meanings too, where they are not written with a capital letter.
const AMBIGUOUS: [&str; 2] = ["march", "may"];

/// Months, days and years that a text names, as people write them in English. Without a month, there is none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Dates {
    months: Vec<u32>,
    days: Vec<u32>,
    years: Vec<u32>,
}

impl Dates {
    pub(crate) fn of(text: &str) -> Self {
        let mut dates = Self::default();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            let small = word.to_ascii_lowercase();
            let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == small);
            if let Some((name, month)) = month
                && (word != small || !AMBIGUOUS.contains(name))
            {
                dates.months.push(month);
            }
            let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            match digits.parse() {
                Ok(day @ 1..=31) => dates.days.push(day),
                Ok(year @ 1_000..=9_999) => dates.years.push(year),
                _ => {}
            }
        }
        dates
    }

    pub(crate) fn is_none(&self) -> bool {
        self.months.is_empty()
    }

    /// Whether something that happened at an instant, in milliseconds since 1970, is from one of the dates (UTC).
    pub(crate) fn judge(&self, time_ms: u64) -> Judged {
        if self.is_none() {
            return Judged::Fits;
        }
        let (year, month, day) = date(time_ms / 86_400_000);
        let is_month = self.months.contains(&month) && (self.years.is_empty() || self.years.contains(&year));
        match (is_month, self.days.contains(&day)) {
            (false, _) => Judged::Fits,
            (true, false) => Judged::Month,
            (true, true) => Judged::Day,
        }
    }
}

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01. From Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms": years begin in March, so that a leap day is the last.
fn date(days: u64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    ((year + era * 400 + later) as u32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use quipu_format::Timestamp;

    use super::*;

    fn ms(text: &str) -> u64 {
        Timestamp::parse_rfc3339(text).unwrap().as_ms()
    }

    #[test]
    fn days_are_dated_as_timestamps_are_written() {
        for day in (0..80_000).step_by(7).chain([59, 60, 11_015, 11_016, 47_540, 47_541]) {
            let (year, month, day_of_month) = date(day);
            let written = Timestamp::from_ms(day * 86_400_000).to_string();
            assert_eq!(format!("{year:04}-{month:02}-{day_of_month:02}"), written[..10]);
        }
    }

    #[test]
    fn a_question_names_months_days_and_years() {
        let judge = |text: &str, ts: &str| Dates::of(text).judge(ms(ts));
        for text in ["What on October 13, 2023?", "the 13th of october", "13 OCTOBER"] {
            assert_eq!(judge(text, "2023-10-13T23:59:59Z"), Judged::Day, "{text}");
            assert_eq!(judge(text, "2023-10-14T00:00:00Z"), Judged::Month, "{text}");
            assert_eq!(judge(text, "2023-09-13T00:00:00Z"), Judged::Fits, "{text}");
        }
        assert_eq!(judge("in October 2023", "2022-10-13T00:00:00Z"), Judged::Fits);
        assert_eq!(judge("in May", "2022-05-13T00:00:00Z"), Judged::Month);
        for text in ["may I march on the 13th of 2023?", "", "13/10", "Mayor"] {
            assert!(Dates::of(text).is_none(), "{text}");
        }
    }
}
