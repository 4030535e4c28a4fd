//! Answers recorded from Go: sprig 3.3 by `golden/sprig`, version constraints, time layouts.

use std::sync::Arc;

use gotemplate::funcs::layout;
use gotemplate::funcs::semver::{Constraints, Version};
use gotemplate::value::dict;
use gotemplate::{
    Budget, Delimiters, FixedHost, MissingKey, Options, Registry, Scope, TemplateSet,
};
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

fn render(registry: &Arc<Registry>, text: &str) -> Result<String, String> {
    let options = Options { delimiters: Delimiters::default(), missing_key: MissingKey::Default };
    let mut set = TemplateSet::new(registry.clone(), options).map_err(|e| e.to_string())?;
    set.parse("t", text).map_err(|e| e.to_string())?;
    let scope = Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::default()) };
    set.render("t", &dict(Default::default()), &scope).map_err(|e| e.to_string())
}

#[test]
fn sprig_functions_answer_as_recorded() {
    let registry = Arc::new(Registry::sprig());
    let mut wrong = Vec::new();
    for line in include_str!("../golden/sprig/cases.jsonl").lines() {
        let (text, ok, wanted): (String, bool, String) = serde_json::from_str(line).unwrap();
        let wanted = if ok { Ok(wanted) } else { Err(wanted) };
        let got = render(&registry, &text);
        if got != wanted {
            wrong.push(format!("{text}\n  wanted {wanted:?}\n  got    {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn version_constraints_match_as_recorded() {
    let rows = include_str!("../golden/semver/constraints.tsv").lines().skip(1);
    for row in rows {
        let [constraint, version, wanted, canonical] =
            row.split('\t').collect::<Vec<_>>()[..].try_into().unwrap();
        let version = Version::parse(version);
        let got = match (Constraints::parse(constraint), &version) {
            (Err(_), _) => "CERR",
            (_, Err(_)) => "VERR",
            (Ok(constraint), Ok(version)) if constraint.matches(version) => "T",
            _ => "F",
        };
        assert_eq!(got, wanted, "{row}");
        if let Ok(version) = version {
            assert_eq!(version.to_string(), canonical, "{row}");
        }
    }
}

#[test]
fn time_layouts_print_and_read_as_recorded() {
    for row in include_str!("../golden/layout/layouts.tsv").lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let got = match fields[..] {
            ["F", nanoseconds, zone, text, _] => {
                let time = jiff::Timestamp::from_nanosecond(nanoseconds.parse().unwrap()).unwrap();
                layout::format(&time.to_zoned(zone_of(zone)), text)
            }
            ["P", text, value, _] => match layout::parse(text, value, &TimeZone::UTC) {
                Ok(time) => time.timestamp().as_nanosecond().to_string(),
                Err(error) => format!("E {error}"),
            },
            _ => panic!("row {row}"),
        };
        assert_eq!(&got, fields.last().unwrap(), "{row}");
    }
}

fn zone_of(text: &str) -> TimeZone {
    match text.parse() {
        Ok(0) => TimeZone::UTC,
        Ok(seconds) => Offset::from_seconds(seconds).unwrap().to_time_zone(),
        Err(_) => TimeZoneDatabase::bundled().get(text).unwrap(),
    }
}

#[test]
fn cryptographic_functions_answer_as_recorded() {
    let registry = Arc::new(Registry::sprig());
    let cases = [
        (r#"{{ derivePassword 1 "long" "password" "user" "example.com" }}"#, "ZedaFaxcZaso9*"),
        (r#"{{ derivePassword 3 "pin" "p" "u" "s" }}"#, "3444"),
        (r#"{{ encryptAES "secretkey" "plaintext" | decryptAES "secretkey" }}"#, "plaintext"),
        (r#"{{ htpasswd "u" "p" | len }} {{ uuidv4 | len }} {{ randBytes 16 | len }}"#, "62 36 24"),
    ];
    for (text, wanted) in cases {
        assert_eq!(render(&registry, text).as_deref(), Ok(wanted), "{text}");
    }
}

#[test]
fn a_signed_certificate_names_its_issuer_and_hosts() {
    let registry = Arc::new(Registry::sprig());
    let text = r#"{{ $ca := genCA "root" 365 }}{{ $c := genSignedCert "leaf" (list "10.0.0.1") (list "a.example.com") 30 $ca }}{{ $c.Cert | trunc 27 }} {{ contains "RSA PRIVATE KEY" $c.Key }}"#;
    assert_eq!(render(&registry, text).as_deref(), Ok("-----BEGIN CERTIFICATE----- true"));
}

#[test]
fn every_function_of_sprig_is_there_but_those_of_the_environment() {
    let registry = Registry::sprig();
    let names = include_str!("../golden/sprig/functions.tsv").lines();
    let names = names.filter_map(|line| line.split('\t').next());
    let missing: Vec<&str> = names.filter(|name| !registry.contains(name)).collect();
    assert_eq!(missing, ["env", "expandenv"]);
}
