//! Scripts that have once differed, as they were printed.

/// What each is about, and the script.
pub const CASES: &[(&str, &str)] = &[
    (
        "an unnamed statement that the client has not parsed is not there",
        "
servers 1
a login
a owed
  B - - text
  S
a owed
  Q SELECT 1
",
    ),
    (
        "an unnamed statement is gone with DISCARD ALL",
        "
servers 1
a login
a owed
  Q DISCARD ALL
a owed
  B - - text
  S
",
    ),
    (
        "start-up parameters come back with DISCARD ALL",
        "
servers 1
a login DateStyle=German,DMY search_path=one
a owed
  Q SET search_path = two
  Q DISCARD ALL
a owed
  Q {probe}
",
    ),
];
