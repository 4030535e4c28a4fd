//! The nouns of Fleet (API kinds, fleet.yaml) and its decisions (match, place, merge, roll out).
