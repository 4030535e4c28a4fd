//! No template text makes the engine panic, hang or outgrow its budget.
#![no_main]

use std::sync::{Arc, OnceLock};

use gotemplate::{
    Budget, Delimiters, FixedHost, Limits, MissingKey, Options, Registry, Scope, TemplateSet, value,
};
use libfuzzer_sys::fuzz_target;

static REGISTRY: OnceLock<Arc<Registry>> = OnceLock::new();

fn registry() -> Arc<Registry> {
    let build = || {
        let mut registry = Registry::sprig();
        // Key generation is slow by nature and tells nothing about the engine.
        for slow in ["genPrivateKey", "genCA", "genSelfSignedCert", "genSignedCert", "derivePassword", "bcrypt", "htpasswd"] {
            registry.remove(slow);
        }
        Arc::new(registry)
    };
    Arc::clone(REGISTRY.get_or_init(build))
}

fuzz_target!(|text: &str| {
    let options = Options { delimiters: Delimiters::default(), missing_key: MissingKey::Default };
    let Ok(mut set) = TemplateSet::new(registry(), options) else { return };
    if set.parse("fuzz", text).is_err() {
        return;
    }
    let limits = Limits { steps: 20_000, depth: 50, output_bytes: 1 << 18 };
    let scope = Scope { host: Arc::new(FixedHost::default()), budget: Arc::new(Budget::new(limits)) };
    let data = serde_json::json!({"Values": {"a": [1, 2, {"b": "c"}], "n": null, "t": true, "s": "text"}});
    let _ = set.render("fuzz", &value::from_json_floats(&data), &scope);
});
