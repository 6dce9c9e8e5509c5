use super::*;

/// Every combination of what can be found maps to exactly one row, and the rows' order settles combinations.
#[test]
fn each_state_is_exactly_one_row() {
    let rest = 10..20;
    let mut seen = [0; 5];
    for contradiction in [None, Some("why".to_owned())] {
        for (next, floor) in [(5, 6), (5, 5), (6, 5)] {
            for stray in [None, Some("what".to_owned())] {
                for torn in [0..0, rest.clone()] {
                    let findings = Findings {
                        contradiction: contradiction.clone(),
                        next,
                        floor,
                        stray: stray.clone(),
                        rest: torn.clone(),
                    };
                    let (expected, row) = match (&contradiction, next < floor, &stray, torn.is_empty()) {
                        (Some(why), ..) => (Row::A(why.clone()), 0),
                        (None, true, ..) => (Row::B { next, floor }, 1),
                        (None, false, Some(what), _) => (Row::C(what.clone()), 2),
                        (None, false, None, false) => (Row::D(torn.clone()), 3),
                        (None, false, None, true) => (Row::E, 4),
                    };
                    assert_eq!(decide(&findings), expected, "{findings:?}");
                    seen[row] += 1;
                }
            }
        }
    }
    assert_eq!(seen, [12, 4, 4, 2, 2]);
}
