//! A server with TLS, one without, and the certificates between them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use weir::policy::dialect;
use weir::sidecar::target::{Target, TargetError};
use weir::sidecar::tls::Roots;

use crate::postgres::Postgres;

/// A server that the tests of this binary share: started by the first that wants it, stopped with the last.
pub struct Shared {
    server: Mutex<Weak<Server>>,
    name: Option<&'static str>,
    expired: bool,
}

/// The server's certificate names `localhost`, not 127.0.0.1.
pub static ENCRYPTED: Shared = Shared::new(Some("localhost"), false);
/// The same, out of date.
pub static EXPIRED: Shared = Shared::new(Some("localhost"), true);
pub static PLAIN: Shared = Shared::new(None, false);

impl Shared {
    const fn new(name: Option<&'static str>, expired: bool) -> Self {
        Self { server: Mutex::new(Weak::new()), name, expired }
    }

    pub fn get(&self) -> Arc<Server> {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        server.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Server::start(self.name, self.expired));
            *server = Arc::downgrade(&started);
            started
        })
    }
}

/// Non-ASCII, and with every character that a URL needs encoded.
pub const PASSWORD: &str = "pässwörd %/?#@:+&";
pub const PASSWORD_ENCODED: &str = "p%C3%A4ssw%C3%B6rd%20%25%2F%3F%23%40%3A%2B%26";

/// A role for each method of authentication.
const ROLES: [&str; 4] = ["trust", "password", "md5", "scram"];

pub struct Server {
    pub postgres: Postgres,
    authority: Option<PathBuf>,
}

impl Server {
    fn start(name: Option<&str>, expired: bool) -> Self {
        let postgres = Postgres::start("");
        for role in ROLES {
            let encryption = if role == "md5" { "md5" } else { "scram-sha-256" };
            postgres.sql(
                "postgres",
                &format!("SET password_encryption = '{encryption}'; CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
            );
        }
        postgres.sql("postgres", "CREATE ROLE crowded LOGIN CONNECTION LIMIT 0");
        postgres.stop("fast");
        let rules = "local all all trust\n\
             host all trust,crowded 127.0.0.1/32 trust\n\
             host all password 127.0.0.1/32 password\n\
             host all md5 127.0.0.1/32 md5\n\
             host all scram 127.0.0.1/32 scram-sha-256\n";
        fs::write(postgres.data().join("pg_hba.conf"), rules).unwrap();
        let authority = name.map(|name| certify(&postgres, name, expired));
        postgres.resume();
        Self { postgres, authority }
    }

    /// A URL for the role of a method.
    pub fn url(&self, host: &str, role: &str, query: &str) -> String {
        let port = self.postgres.port();
        format!("postgresql://{role}:{PASSWORD_ENCODED}@{host}:{port}/postgres{query}")
    }

    /// The authority that issued its certificate.
    pub fn roots(&self) -> Roots {
        self.authority.as_ref().map_or_else(Roots::none, |path| Roots::read(path).unwrap())
    }
}

/// Makes an authority and a certificate of it for the server, and returns the file with the authority's.
fn certify(postgres: &Postgres, name: &str, expired: bool) -> PathBuf {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec![name.to_owned()]).unwrap();
    if expired {
        server.not_before = date_time_ymd(2020, 1, 1);
        server.not_after = date_time_ymd(2020, 2, 1);
    }
    let certificate = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();

    let data = postgres.data();
    let owner = {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(&data).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let write = |name: &str, content: &str| {
        let path = data.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        path
    };
    write("server.key", &key.serialize_pem());
    write("server.crt", &certificate.pem());
    let configuration = fs::read_to_string(data.join("postgresql.auto.conf")).unwrap();
    write("postgresql.auto.conf", &(configuration + "ssl = on\n"));
    write("authority.crt", &authority_certificate.pem())
}

/// A target as the sidecar reads it for an application that sees the URL.
pub fn target(url: &str, client: &str, roots: &Roots) -> Result<Target, TargetError> {
    Target::parse(url.as_bytes(), dialect::find(client).expect("a dialect"), None, roots)
}
