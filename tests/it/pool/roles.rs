//! Who a client is at PostgreSQL, where roles are set at the login.

use weir::sidecar::pool::Release;

use crate::pooler::{Pooler, limits};
use crate::postgres::{self, Database};
use crate::raw::{Raw, first_column, query};

/// A role `<name>_owner` whose member the login is.
fn with_owner() -> (Database, String) {
    let database = postgres::database();
    let owner = format!("{}_owner", database.name);
    database.sql(&format!("CREATE ROLE {owner}; GRANT {owner} TO {}", database.name));
    (database, owner)
}

const WHO: &str = "SELECT concat_ws(' ', session_user, current_user, current_setting('role'))";

#[test]
fn a_role_of_one_clients_start_up_parameters_is_not_the_next_ones() {
    let (database, owner) = with_owner();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let name = &database.name;
    for _ in 0..2 {
        for wishes in [&[("role", &*owner)][..], &[]] {
            let mut direct = Raw::log_in(database.server.port(), name, wishes).unwrap();
            let mut client = Raw::log_in(pooler.port, name, wishes).unwrap();
            assert_eq!(client.value(WHO), direct.value(WHO), "{wishes:?}");
            client.goodbye();
        }
    }
}

#[test]
fn a_role_of_the_login_is_every_clients() {
    let (database, owner) = with_owner();
    database.sql(&format!("ALTER ROLE {} SET role = '{owner}'", database.name));
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let expected = format!("{0} {owner} {owner}", database.name);
    for round in 0..3 {
        for wishes in [&[][..], &[("work_mem", "1MB")]] {
            let mut client = Raw::log_in(pooler.port, &database.name, wishes).unwrap();
            assert_eq!(client.value(WHO), expected, "round {round} {wishes:?}");
            client.send(&query("SET ROLE NONE; SET work_mem = '3MB'"));
            client.read_to(b'Z');
            client.goodbye();
        }
    }
}

/// One server connection for two clients, so that one that keeps it is seen.
#[test]
fn a_role_of_the_login_pins_nobody_and_another_role_pins() {
    let (database, owner) = with_owner();
    database.sql(&format!("ALTER ROLE {} SET role = '{owner}'", database.name));
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtReadyForQuery);
    let expected = format!("{0} {owner} {owner}", database.name);
    let [mut a, mut b] = [(); 2].map(|()| Raw::log_in(pooler.port, &database.name, &[]).unwrap());
    for sql in ["SET work_mem = '3MB'", "SET ROLE NONE; RESET ROLE"] {
        a.send(&query(sql));
        a.read_to(b'Z');
        assert_eq!(b.value(WHO), expected, "after {sql}");
        assert_eq!(a.value(WHO), expected, "after {sql}");
    }
    a.send(&query("SET ROLE NONE"));
    a.read_to(b'Z');
    b.send(&query(WHO));
    pooler.until(|figures| &figures.waiting, 1);
    assert_eq!(a.value(WHO), format!("{0} {0} none", database.name));
    a.goodbye();
    let answer = b.read_to(b'Z');
    let row = answer.iter().find(|message| message.kind == b'D');
    assert_eq!(row.map(|row| first_column(&row.body)), Some(expected), "{answer:?}");
}

#[test]
fn a_reset_of_one_setting_leaves_the_others() {
    let database = postgres::database();
    let pooler = Pooler::start(&database.url(), limits(1, 1), Release::AtDisconnect);
    let wishes = [("application_name", "mine"), ("TimeZone", "UTC"), ("work_mem", "3MB")];
    let mut client = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
    let show = "SELECT concat_ws(' ', current_setting('application_name'), current_setting('TimeZone'), current_setting('work_mem'))";
    for (sql, shown) in [
        ("SET TimeZone = 'Asia/Tokyo'; SET application_name = 'x'; SET work_mem = '9MB'", "x Asia/Tokyo 9MB"),
        ("RESET application_name", "mine Asia/Tokyo 9MB"),
        ("RESET ALL", "mine UTC 3MB"),
    ] {
        client.send(&query(sql));
        client.read_to(b'Z');
        assert_eq!(client.value(show), shown, "after {sql}");
        // What one client has set is not what the next is greeted with.
        let other = Raw::log_in(pooler.port, &database.name, &wishes).unwrap();
        assert!(other.parameters.contains(&("TimeZone".to_owned(), "UTC".to_owned())), "after {sql}");
    }
}
