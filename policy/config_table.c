/*
 * The configuration language, once. Everything that knows it (reader, defaults, documentation, JSON
 * Schema) takes it from here.
 */
#include <stddef.h>

#include "crypto/checkpoint.h"
#include "policy/config_raw.h"
#include "policy/config_schema.h"

#define AT(type, member) offsetof(struct type, member)
/* More than anybody runs; more entries than that are not read either. */
#define TRUST_MAX_THRESHOLD 8
#define OBJECT(identifier, type, ...)                                                              \
    const struct config_object config_object_##identifier = {.name = #identifier,                  \
                                                             .size = sizeof(struct type),          \
                                                             .fields = fields_##identifier,        \
                                                             .field_count =                        \
                                                                 GH_COUNT(fields_##identifier),    \
                                                             __VA_ARGS__}

/* clang-format off */
static const struct config_field fields_tls[] = {
    {"certificate", CONFIG_PATH, CONFIG_REQUIRED, AT(config_tls, certificate),
     .help = "PEM file with the certificate and its chain."},
    {"key", CONFIG_SECRET, CONFIG_REQUIRED, AT(config_tls, key),
     .help = "PEM file with the private key; not readable by all."},
    {"client_ca", CONFIG_PATH, 0, AT(config_tls, client_ca),
     .help = "PEM file with the authorities of client certificates."},
};
static OBJECT(tls, config_tls, .help = "A certificate for a listener.");

static const struct config_field fields_listen[] = {
    {"address", CONFIG_ADDRESS, 0, AT(config_listen, address), "127.0.0.1:5000",
     .help = "Address and port."},
    {"tls", CONFIG_OBJECT, 0, AT(config_listen, tls), .object = &config_object_tls,
     .help = "Serve TLS."},
};
static OBJECT(listen, config_listen, .shorthand = "address", .help = "Where clients connect.");

static const struct config_field fields_admin[] = {
    {"address", CONFIG_ADDRESS, 0, AT(config_admin, address), "127.0.0.1:5001",
     .help = "Address and port of /metrics, /livez, /readyz and /v1/. Off loopback a token or "
             "client certificates are a must."},
    {"token_file", CONFIG_SECRET, 0, AT(config_admin, token_file),
     .help = "File with the bearer token that callers of /v1/ present."},
    {"tls", CONFIG_OBJECT, 0, AT(config_admin, tls), .object = &config_object_tls,
     .help = "Serve TLS; with client_ca callers present a certificate."},
};
static OBJECT(admin, config_admin, .help = "The admin listener.");

static const struct config_field fields_webhook[] = {
    {"address", CONFIG_ADDRESS, CONFIG_REQUIRED, AT(config_listen, address),
     .help = "Address and port for the API server."},
    {"tls", CONFIG_OBJECT, CONFIG_REQUIRED, AT(config_listen, tls), .object = &config_object_tls,
     .help = "The API server speaks TLS only."},
};
static OBJECT(webhook, config_listen, .help = "Admission webhook and Gatekeeper provider.");

static const struct config_field fields_storage[] = {
    {"path", CONFIG_PATH, 0, AT(config_storage, path), "/var/lib/gatehouse",
     .help = "Folder of the embedded stores; on a local file system."},
    {"max_size", CONFIG_SIZE, 0, AT(config_storage, max_size_bytes), "100GiB", .min = 1 << 20,
     .max = INT64_MAX, .help = "Ceiling of the content store; the least used is dropped."},
};
static OBJECT(storage, config_storage, .help = "Where content and verdicts are kept.");

static const struct config_field fields_limits[] = {
    {"connections", CONFIG_INT, 0, AT(config_limits, connections), "20000", .min = 1,
     .max = 1000000, .help = "Client connections in total."},
    {"connections_per_address", CONFIG_INT, 0, AT(config_limits, connections_per_address), "1000",
     .min = 1, .max = 1000000, .help = "Client connections from one address."},
    {"header_timeout", CONFIG_DURATION, 0, AT(config_limits, header_timeout_s), "10s", .min = 1,
     .max = 3600, .help = "Time a client has to send a request's head."},
    {"idle_timeout", CONFIG_DURATION, 0, AT(config_limits, idle_timeout_s), "60s", .min = 1,
     .max = 86400, .help = "Time a kept-alive connection may do nothing."},
    {"manifest", CONFIG_SIZE, 0, AT(config_limits, manifest_bytes), "4MiB", .min = 1024,
     .max = 64 << 20, .help = "Largest manifest."},
    {"evidence", CONFIG_SIZE, 0, AT(config_limits, evidence_bytes), "8MiB", .min = 1024,
     .max = 256 << 20, .help = "Largest signature or attestation."},
    {"candidates", CONFIG_INT, 0, AT(config_limits, candidates), "50", .min = 1, .max = 64,
     .help = "Signatures tried for one requirement."},
    {"verification_time", CONFIG_DURATION, 0, AT(config_limits, verification_time_s), "20s",
     .min = 1, .max = 600, .help = "Time for one verification, fetching included."},
    {"evidence_memory", CONFIG_SIZE, 0, AT(config_limits, evidence_memory_bytes), "256MiB",
     .min = 1 << 20, .max = INT64_MAX, .help = "Memory for evidence of all verifications."},
};
static OBJECT(limits, config_limits, .help = "Ceilings.");

static const struct config_field fields_cache[] = {
    {"tag_ttl", CONFIG_DURATION, 0, AT(config_cache, tag_ttl_s), "60s", .max = 31536000,
     .help = "How long a tag's digest is taken as known."},
    {"tag_stale", CONFIG_DURATION, 0, AT(config_cache, tag_stale_s), "24h", .max = 31536000,
     .help = "How long it serves when the upstream cannot be reached."},
    {"verdict_ttl", CONFIG_DURATION, 0, AT(config_cache, verdict_ttl_s), "24h", .max = 63072000,
     .help = "How long a good verdict is kept; what it rests on may end it sooner."},
    {"denial_ttl", CONFIG_DURATION, 0, AT(config_cache, denial_ttl_s), "1m", .max = 86400,
     .help = "How long a proved denial is kept."},
    {"revocation_refresh", CONFIG_DURATION, 0, AT(config_cache, revocation_refresh_s), "15m",
     .min = 1, .max = 86400,
     .help = "How old revocation lists and OCSP answers get before they are fetched again in the "
             "background, whatever their own lifetime. Where one has changed, the verdicts that rest "
             "on it end."},
};
static OBJECT(cache, config_cache, .help = "Lifetimes.");

static const struct config_field fields_audit_sink[] = {
    {"url", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_audit_sink, url),
     .help = "Syslog (RFC 5424) at udp://HOST:PORT, tcp://HOST:PORT or unix:/PATH, or a collector "
             "at http(s)://… that takes JSON lines by POST."},
    {"ca", CONFIG_PATH, 0, AT(config_audit_sink, ca),
     .help = "PEM file with authorities for https, instead of the system's."},
    {"token_file", CONFIG_SECRET, 0, AT(config_audit_sink, token_file),
     .help = "File with a bearer token for the collector."},
    {"queue", CONFIG_SIZE, 0, AT(config_audit_sink, queue_bytes), "256MiB", .min = 64 << 10,
     .max = INT64_MAX, .help = "How far it may be behind; older records are passed over, counted "
                               "and recorded as a gap."},
};
static OBJECT(audit_sink, config_audit_sink, .shorthand = "url",
              .help = "A second place for audit records; never waited for.");

static const struct config_field fields_audit[] = {
    {"path", CONFIG_PATH, 0, AT(config_audit, path),
     .help = "The log; audit.jsonl in storage.path by default."},
    {"checkpoint_key", CONFIG_SECRET, 0, AT(config_audit, checkpoint_key),
     .help = "Ed25519 key that signs checkpoints."},
    {"checkpoint_every", CONFIG_DURATION, 0, AT(config_audit, checkpoint_every_s), "1m", .min = 1,
     .max = 86400, .help = "Time between checkpoints."},
    {"on_failure", CONFIG_ENUM, 0, AT(config_audit, on_failure), "deny", "deny",
     .help = "What cannot be recorded is not allowed; there is no other value."},
    {"sink", CONFIG_OBJECT, 0, AT(config_audit, sink), .object = &config_object_audit_sink,
     .help = "A second place for every record: syslog or an HTTP collector."},
};
static OBJECT(audit, config_audit, .help = "The audit log.");

static const struct config_field fields_log[] = {
    {"access", CONFIG_PATH, 0, AT(config_log, access),
     .help = "File for one JSON line per answered request; none by default."},
};
static OBJECT(log, config_log, .help = "Logs besides the audit log; events go to standard error.");

static const struct config_field fields_fetch[] = {
    {"rewrite", CONFIG_PAIRS, 0, AT(config_fetch, rewrite),
     .help = "Prefixes of addresses and what stands for them, by longest prefix; http(s) or "
             "file."},
};
static OBJECT(fetch, config_fetch,
              .help = "What is fetched beyond the upstreams: CRL, OCSP, TUF, KMS, lookaside.");

static const struct config_field fields_credentials[] = {
    {"username", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_credentials, username),
     .help = "User name."},
    {"password_file", CONFIG_SECRET, 0, AT(config_credentials, password_file),
     .help = "File with the password or token; one line."},
    {"password", CONFIG_INLINE, 0, AT(config_credentials, password_env),
     .help = "Only as ${ENV}: the environment variable that holds the password."},
};
static OBJECT(credentials, config_credentials, .one_of = "password_file|password",
              .help = "How the gateway authenticates.");

static const struct config_field fields_upstream[] = {
    {"url", CONFIG_URL, CONFIG_REQUIRED, AT(config_upstream, url), .help = "Base address."},
    {"auth_hosts", CONFIG_TEXTS, 0, AT(config_upstream, auth_hosts),
     .help = "Other hosts that may be asked for tokens."},
    {"credentials", CONFIG_OBJECT, 0, AT(config_upstream, credentials),
     .object = &config_object_credentials, .help = "How the gateway authenticates."},
    {"ca", CONFIG_PATH, 0, AT(config_upstream, ca),
     .help = "PEM file with authorities, instead of the system's."},
    {"concurrency", CONFIG_INT, 0, AT(config_upstream, concurrency), "64", .min = 1, .max = 10000,
     .help = "Requests at a time."},
    {"requests_per_second", CONFIG_INT, 0, AT(config_upstream, requests_per_second), "200",
     .min = 1, .max = 1000000, .help = "Rate of requests."},
    {"redirect_hosts", CONFIG_TEXTS, 0, AT(config_upstream, redirect_hosts),
     .help = "Private hosts that redirects may lead to."},
    {"referrers", CONFIG_ENUM, 0, AT(config_upstream, referrers), "auto", "auto|api|tag|both",
     .help = "Where signatures are looked for."},
};
static OBJECT(upstream, config_upstream, .help = "A registry; image names are NAME/repository.");

static const struct config_field fields_token[] = {
    {"key", CONFIG_SECRET, 0, AT(config_token, key),
     .help = "File with the secret that tokens are made with, at least 32 characters; replicas "
             "share it. Without one a secret is made at every start."},
    {"ttl", CONFIG_DURATION, 0, AT(config_token, ttl_s), "5m", .min = 60, .max = 3600,
     .help = "How long a token is good."},
};
static OBJECT(token, config_token, .help = "Bearer tokens of the gateway's own endpoint, /token.");

static const struct config_field fields_clients[] = {
    {"htpasswd", CONFIG_SECRET, 0, AT(config_clients, htpasswd), .help = "Users, bcrypt."},
    {"token", CONFIG_OBJECT, 0, AT(config_clients, token), .object = &config_object_token,
     .help = "Clients of htpasswd or mtls are sent to /token for a bearer token."},
    {"realm", CONFIG_URL, 0, AT(config_clients, realm),
     .help = "Address of /token as clients reach it; by the Host they asked for by default."},
    {"mtls", CONFIG_BOOL, 0, AT(config_clients, is_mtls), "false",
     .help = "Subject of the client certificate."},
    {"passthrough", CONFIG_BOOL, 0, AT(config_clients, is_passthrough), "false",
     .help = "The client's own upstream credentials, through the gateway's token endpoint."},
};
static OBJECT(clients, config_clients, .help = "Who may pull; everybody by default.");

static const struct config_field fields_writers[] = {
    {"push", CONFIG_TEXTS, CONFIG_LATER, AT(config_raw_writers, push),
     .help = "Principals that may push."},
    {"delete", CONFIG_TEXTS, CONFIG_LATER, AT(config_raw_writers, remove),
     .help = "Principals that may delete."},
};
static OBJECT(writers, config_raw_writers, .help = "Who may write; nobody by default.");

static const struct config_field fields_root[] = {
    {"tuf", CONFIG_URL, CONFIG_FILE_URL, AT(config_raw_root, tuf),
     .help = "TUF repository that distributes trusted_root.json."},
    {"initial_root", CONFIG_PATH, 0, AT(config_raw_root, initial_root),
     .help = "The root.json that trust in the repository starts from."},
    {"max_age", CONFIG_DURATION, 0, AT(config_raw_root, max_age_s), "7d", .min = 60,
     .max = 63072000, .help = "Longest time since the last successful refresh."},
    {"trusted_root", CONFIG_PATH, 0, AT(config_raw_root, trusted_root),
     .help = "A trusted_root.json."},
    {"ca", CONFIG_PATHS, CONFIG_NOT_EMPTY, AT(config_raw_root, ca),
     .help = "Notation trust store: authorities."},
    {"signing_authority", CONFIG_PATHS, 0, AT(config_raw_root, signing_authority),
     .help = "Notation trust store: signing authorities."},
    {"tsa", CONFIG_PATHS, 0, AT(config_raw_root, tsa),
     .help = "Notation trust store: time-stamp authorities."},
    {"crl", CONFIG_PATHS, 0, AT(config_raw_root, crl), .help = "Revocation lists."},
    {"probe", CONFIG_DURATION, 0, AT(config_raw_root, probe_s), .min = 1, .max = 7 * 86400,
     .help = "How often the root's transparency logs and its repository are looked at: whether "
             "they answer, and whether each log only grows; not at all by default. No verdict "
             "depends on it."},
};
static OBJECT(root, config_raw_root, .help = "Trust roots.");

static const struct config_field fields_revoked[] = {
    {"at", CONFIG_START, CONFIG_REQUIRED, AT(config_raw_revoked, at_unix_s),
     .help = "When trust ended."},
    {"reason", CONFIG_ENUM, 0, AT(config_raw_revoked, reason), "compromise",
     "compromise|superseded|retired",
     .help = "A compromise kills every signature of the key; the others those not proved older."},
    {"note", CONFIG_TEXT, 0, AT(config_raw_revoked, note), .help = "For people."},
};
static OBJECT(revoked, config_raw_revoked, .help = "The end of a key.");

static const struct config_field fields_key[] = {
    {"file", CONFIG_PATH, 0, AT(config_raw_key, file), .help = "PEM file with a public key."},
    {"pkcs11", CONFIG_TEXT, CONFIG_LATER, AT(config_raw_key, pkcs11),
     .help = "PKCS#11 URI of a public key."},
    {"kms", CONFIG_TEXT, CONFIG_LATER, AT(config_raw_key, kms),
     .help = "KMS reference of a public key."},
    {"not_before", CONFIG_START, 0, AT(config_raw_key, not_before_unix_s),
     .help = "Signatures made before do not count."},
    {"not_after", CONFIG_LAST, 0, AT(config_raw_key, not_after_unix_s),
     .help = "Signatures made after do not count."},
    {"revoked", CONFIG_OBJECT, 0, AT(config_raw_key, revoked), .object = &config_object_revoked,
     .help = "The key is trusted no longer."},
};
static OBJECT(key, config_raw_key, .one_of = "file|pkcs11|kms", .help = "A public key.");

static const struct config_field fields_witness[] = {
    {"name", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_witness, name),
     .help = "The witness as signed checkpoints name it."},
    {"file", CONFIG_PATH, CONFIG_REQUIRED, AT(config_raw_witness, file),
     .help = "PEM file with its Ed25519 public key."},
};
static OBJECT(witness, config_raw_witness, .help = "Who cosigns a log's checkpoints.");

static const struct config_field fields_witnesses[] = {
    {"threshold", CONFIG_INT, CONFIG_REQUIRED, AT(config_raw_witnesses, threshold), .min = 1,
     .max = CHECKPOINT_MAX_WITNESSES, .help = "How many of them must have cosigned."},
    {"keys", CONFIG_OBJECTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY, AT(config_raw_witnesses, keys),
     .object = &config_object_witness, .help = "The witnesses that count."},
};
static OBJECT(witnesses, config_raw_witnesses, .help = "Witnesses of the transparency log.");

static const struct config_field fields_keyless[] = {
    {"root", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_keyless, root), .help = "A root."},
    {"issuer", CONFIG_TEXT, 0, AT(config_raw_keyless, issuer),
     .help = "Identity provider, exactly."},
    {"issuer_regex", CONFIG_TEXT, 0, AT(config_raw_keyless, issuer_regex),
     .help = "Identity provider; matched whole."},
    {"subject", CONFIG_TEXT, 0, AT(config_raw_keyless, subject),
     .help = "Who; * within a segment, ** across."},
    {"subject_regex", CONFIG_TEXT, 0, AT(config_raw_keyless, subject_regex),
     .help = "Who; matched whole."},
    {"claims", CONFIG_PAIRS, 0, AT(config_raw_keyless, claims),
     .help = "Fulcio's certificate extensions in snake_case; exact or glob."},
    {"tlog", CONFIG_ENUM, 0, AT(config_raw_keyless, tlog), "required", "required|off",
     .help = "Transparency log."},
    {"timestamp", CONFIG_ENUM, 0, AT(config_raw_keyless, timestamp), "optional",
     "required|optional", .help = "RFC 3161 time stamp; with tlog off only required is valid."},
    {"sct", CONFIG_ENUM, 0, AT(config_raw_keyless, sct), "required", "required|off",
     .help = "Signed certificate timestamp."},
    {"tlog_threshold", CONFIG_INT, 0, AT(config_raw_keyless, thresholds.tlog), "1", .min = 1,
     .max = TRUST_MAX_THRESHOLD, .help = "Distinct logs that must vouch."},
    {"timestamp_threshold", CONFIG_INT, 0, AT(config_raw_keyless, thresholds.timestamp), "1",
     .min = 1, .max = TRUST_MAX_THRESHOLD, .help = "Distinct authorities that must have stamped."},
    {"sct_threshold", CONFIG_INT, 0, AT(config_raw_keyless, thresholds.sct), "1", .min = 1,
     .max = TRUST_MAX_THRESHOLD, .help = "Distinct certificate logs that must vouch."},
    {"witnesses", CONFIG_OBJECT, 0, AT(config_raw_keyless, thresholds.witnesses),
     .object = &config_object_witnesses, .help = "Cosignatures on the log's checkpoints."},
};
static OBJECT(keyless, config_raw_keyless, .help = "Identities of a Sigstore instance.");

static const struct config_field fields_override[] = {
    {"authenticity", CONFIG_ENUM, 0, AT(config_raw_override, authenticity), "level",
     "level|enforce|log", .help = "Certificate path."},
    {"authentic_timestamp", CONFIG_ENUM, 0, AT(config_raw_override, authentic_timestamp), "level",
     "level|enforce|log", .help = "Signing time."},
    {"expiry", CONFIG_ENUM, 0, AT(config_raw_override, expiry), "level", "level|enforce|log",
     .help = "The signature's own expiry."},
    {"revocation", CONFIG_ENUM, 0, AT(config_raw_override, revocation), "level",
     "level|enforce|log|skip", .help = "CRL and OCSP."},
};
static OBJECT(override, config_raw_override, .help = "Single checks against the level.");

static const struct config_field fields_notation[] = {
    {"root", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_notation, root), .help = "A root."},
    {"identities", CONFIG_TEXTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY,
     AT(config_raw_notation, identities),
     .help = "\"x509.subject: C=…, ST=…, O=…\", or [\"*\"]."},
    {"level", CONFIG_ENUM, 0, AT(config_raw_notation, level), "strict", "strict|permissive|audit",
     .help = "Which checks are enforced."},
    {"override", CONFIG_OBJECT, 0, AT(config_raw_notation, override),
     .object = &config_object_override, .help = "Single checks against the level."},
    {"verify_timestamp", CONFIG_ENUM, 0, AT(config_raw_notation, verify_timestamp), "always",
     "always|after_cert_expiry", .help = "When a time stamp is asked for."},
};
static OBJECT(notation, config_raw_notation, .help = "Notary Project signatures.");

static const struct config_field fields_match[] = {
    {"exact", CONFIG_TEXT, 0, AT(config_raw_match, exact), .help = "This reference."},
    {"repository", CONFIG_TEXT, 0, AT(config_raw_match, repository), .help = "This repository."},
    {"remap", CONFIG_TEXTS, 0, AT(config_raw_match, remap), .help = "[prefix, signed prefix]."},
};
static OBJECT(match, config_raw_match, .one_of = "exact|repository|remap",
              .help = "What name a signature must carry.");

static const struct config_field fields_openpgp[] = {
    {"keyring", CONFIG_PATH, CONFIG_REQUIRED, AT(config_raw_openpgp, keyring),
     .help = "Public keys."},
    {"lookaside", CONFIG_URL, CONFIG_FILE_URL, AT(config_raw_openpgp, lookaside),
     .help = "Where signatures are kept."},
    {"match_reference", CONFIG_ANY, CONFIG_WORD, AT(config_raw_openpgp, match_reference),
     "repository_digest_or_exact", "exact|repository_digest_or_exact|repository",
     .object = &config_object_match, .help = "What name a signature must carry."},
};
static OBJECT(openpgp, config_raw_openpgp, .help = "OpenPGP simple signing.");

static const struct config_field fields_dct[] = {
    {"server", CONFIG_URL, CONFIG_REQUIRED, AT(config_raw_dct, server), .help = "Notary server."},
    {"root", CONFIG_PATH, CONFIG_REQUIRED, AT(config_raw_dct, root), .help = "root.json."},
    {"until", CONFIG_END, CONFIG_REQUIRED, AT(config_raw_dct, until_unix_s),
     .help = "Docker Content Trust ends."},
};
static OBJECT(dct, config_raw_dct, .help = "Docker Content Trust, until it is gone.");

static const struct config_field fields_attestor_key[] = {
    {"file", CONFIG_PATH, CONFIG_REQUIRED, AT(config_raw_attestor_key, file), .help = "PEM."},
    {"id", CONFIG_TEXT, 0, AT(config_raw_attestor_key, id), .help = "Key id."},
};
static OBJECT(attestor_key, config_raw_attestor_key, .help = "A key of an attestor.");

static const struct config_field fields_binauthz[] = {
    {"attestor", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_binauthz, attestor),
     .help = "projects/P/attestors/A."},
    {"keys", CONFIG_OBJECTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY, AT(config_raw_binauthz, keys),
     .object = &config_object_attestor_key, .help = "Its keys."},
    {"occurrences", CONFIG_URL, CONFIG_REQUIRED | CONFIG_FILE_URL,
     AT(config_raw_binauthz, occurrences), .help = "Where occurrences are kept."},
};
static OBJECT(binauthz, config_raw_binauthz, .help = "Binary Authorization attestations.");

static const struct config_field fields_signer[] = {
    {"keys", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_signer, keys),
     .object = &config_object_key, .help = "Public keys; any one of them."},
    {"keyless", CONFIG_OBJECT, 0, AT(config_raw_signer, keyless), .object = &config_object_keyless,
     .help = "Identities of a Sigstore instance."},
    {"notation", CONFIG_OBJECT, 0, AT(config_raw_signer, notation),
     .object = &config_object_notation, .help = "Notary Project signatures."},
    {"openpgp", CONFIG_OBJECT, CONFIG_LATER, AT(config_raw_signer, openpgp),
     .object = &config_object_openpgp, .help = "OpenPGP simple signing."},
    {"dct", CONFIG_OBJECT, CONFIG_LATER, AT(config_raw_signer, dct), .object = &config_object_dct,
     .help = "Docker Content Trust."},
    {"binauthz", CONFIG_OBJECT, CONFIG_LATER, AT(config_raw_signer, binauthz),
     .object = &config_object_binauthz, .help = "Binary Authorization."},
    {"tlog", CONFIG_ENUM, 0, AT(config_raw_signer, tlog), "off", "off|required",
     .help = "Transparency log, for keys; name a root with it."},
    {"timestamp", CONFIG_ENUM, 0, AT(config_raw_signer, timestamp), "optional",
     "optional|required", .help = "RFC 3161 time stamp, for keys; name a root with it."},
    {"tlog_threshold", CONFIG_INT, 0, AT(config_raw_signer, thresholds.tlog), "1", .min = 1,
     .max = TRUST_MAX_THRESHOLD, .help = "Distinct logs that must vouch, for keys."},
    {"timestamp_threshold", CONFIG_INT, 0, AT(config_raw_signer, thresholds.timestamp), "1",
     .min = 1, .max = TRUST_MAX_THRESHOLD,
     .help = "Distinct authorities that must have stamped, for keys."},
    {"witnesses", CONFIG_OBJECT, 0, AT(config_raw_signer, thresholds.witnesses),
     .object = &config_object_witnesses,
     .help = "Cosignatures on the log's checkpoints, for keys."},
    {"root", CONFIG_NAME, 0, AT(config_raw_signer, root), .help = "Root for logs and time."},
    {"match_reference", CONFIG_ENUM, 0, AT(config_raw_signer, match_reference), "off",
     "off|repository|exact", .help = "Whether the signed name must be the image's."},
    {"signature_repository", CONFIG_TEXT, 0, AT(config_raw_signer, signature_repository),
     .help = "Where else signatures live: upstream/repository."},
    {"emergency", CONFIG_BOOL, 0, AT(config_raw_signer, is_emergency), "false",
     .help = "Uses are counted as bypasses."},
};
static OBJECT(signer, config_raw_signer, .one_of = "keys|keyless|notation|openpgp|dct|binauthz",
              .help = "Who may sign.");

static const struct config_field fields_where[] = {
    {"path", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_where, path),
     .help = "JSON pointer into the predicate; * for every element."},
    {"equals", CONFIG_ANY, 0, AT(config_raw_where, equals), .help = "Is this value."},
    {"not_equals", CONFIG_ANY, 0, AT(config_raw_where, not_equals), .help = "Is another value."},
    {"in", CONFIG_ANY, CONFIG_LIST, AT(config_raw_where, in), .help = "Is one of these."},
    {"not_in", CONFIG_ANY, CONFIG_LIST, AT(config_raw_where, not_in), .help = "Is none of these."},
    {"matches", CONFIG_ANY, CONFIG_SCALAR, AT(config_raw_where, matches),
     .help = "Regular expression; matched whole."},
    {"min", CONFIG_ANY, CONFIG_SCALAR, AT(config_raw_where, min), .help = "At least."},
    {"max", CONFIG_ANY, CONFIG_SCALAR, AT(config_raw_where, max), .help = "At most."},
    {"exists", CONFIG_ANY, CONFIG_SCALAR, AT(config_raw_where, exists), .help = "Is there."},
    {"any", CONFIG_BOOL, 0, AT(config_raw_where, is_any), "false",
     .help = "One element is enough."},
};
static OBJECT(where, config_raw_where, .help = "A condition on a predicate.");

static const struct config_field fields_base_image[] = {
    {"signer", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_base, signer), .help = "A signer."},
    {"from", CONFIG_ENUM, 0, AT(config_raw_base, from), "annotation", "annotation|provenance",
     .help = "Where the base image is named: by the image's annotations, or by the materials of its "
             "provenance (every image among them is a base)."},
    {"provenance_signer", CONFIG_NAME, 0, AT(config_raw_base, provenance_signer),
     .help = "Who signs the provenance; `signer` by default."},
};
static OBJECT(base_image, config_raw_base, .help = "The base image must be signed.");

extern const struct config_object config_object_require;
static const struct config_field fields_require[] = {
    {"signature", CONFIG_NAME, 0, AT(config_raw_require, signature), .help = "A signer."},
    {"annotations", CONFIG_PAIRS, 0, AT(config_raw_require, annotations),
     .help = "Members that the signed payload must have."},
    {"metadata", CONFIG_PAIRS, 0, AT(config_raw_require, metadata),
     .help = "Notation user metadata that must be there."},
    {"any", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_require, any),
     .object = &config_object_require, .help = "One of these."},
    {"all", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_require, all),
     .object = &config_object_require, .help = "Each of these."},
    {"at_least", CONFIG_INT, 0, AT(config_raw_require, at_least), .min = 1, .max = 16,
     .help = "So many of `of`, by distinct signing authorities."},
    {"of", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_require, of),
     .object = &config_object_require, .help = "What at_least counts."},
    {"attestation", CONFIG_TEXT, 0, AT(config_raw_require, attestation),
     .help = "slsa-provenance, spdx, cyclonedx, openvex, vulnerability-scan, or a predicate type "
             "URI."},
    {"signer", CONFIG_NAME, 0, AT(config_raw_require, signer), .help = "Who signs it."},
    {"check", CONFIG_ANY, 0, AT(config_raw_require, check), .help = "Typed checks."},
    {"max_age", CONFIG_DURATION, 0, AT(config_raw_require, max_age_s), .min = 1,
     .max = 315360000, .help = "Oldest statement that counts."},
    {"every", CONFIG_BOOL, 0, AT(config_raw_require, is_every), "false",
     .help = "Each statement of the type must satisfy; the registry is asked for new ones after 15 minutes at most."},
    {"where", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_require, where),
     .object = &config_object_where, .help = "Conditions on the predicate."},
    {"base_image", CONFIG_OBJECT, 0, AT(config_raw_require, base_image),
     .object = &config_object_base_image, .help = "The base image must be signed."},
};
OBJECT(require, config_raw_require, .one_of = "signature|attestation|base_image|any|all|at_least",
       .help = "A requirement; any, all and at_least nest.");

static const struct config_field fields_stage[] = {
    {"mode", CONFIG_ENUM, CONFIG_REQUIRED, AT(config_raw_stage, mode), NULL, "deny|warn|audit",
     .help = "Mode of this stage."},
    {"until", CONFIG_END, 0, AT(config_raw_stage, until_unix_s), .help = "End of this stage."},
};
static OBJECT(stage, config_raw_stage, .help = "A stage of a roll-out.");

static const struct config_field fields_on_push[] = {
    {"mode", CONFIG_ENUM, 0, AT(config_raw_on_push, mode), "deny", "deny|quarantine|off",
     .help = "What happens to a tag whose digest does not verify."},
    {"pending_ttl", CONFIG_DURATION, 0, AT(config_raw_on_push, pending_ttl_s), "1h", .min = 1,
     .max = 2592000, .help = "How long a pending tag is kept."},
};
static OBJECT(on_push, config_raw_on_push, .help = "Pushes by tag.");

static const struct config_field fields_policy[] = {
    {"name", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_policy, policy_name),
     .help = "Shown to people, in metrics and in the audit log."},
    {"owner", CONFIG_TEXT, 0, AT(config_raw_policy, owner), "", .help = "Whom to ask."},
    {"images", CONFIG_TEXTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY, AT(config_raw_policy, images),
     .help = "Repositories (* within a component, ** for components) or NAME@sha256:…; never "
             "tags."},
    {"except", CONFIG_TEXTS, 0, AT(config_raw_policy, except), .help = "Not these."},
    {"mode", CONFIG_ENUM, 0, AT(config_raw_policy, mode), "deny", "deny|warn|audit",
     .help = "What a failure does."},
    {"rollout", CONFIG_OBJECTS, CONFIG_NOT_EMPTY, AT(config_raw_policy, rollout),
     .object = &config_object_stage,
     .help = "Modes by date, instead of mode; only tightens, ends in deny."},
    {"require", CONFIG_OBJECTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY, AT(config_raw_policy, require),
     .object = &config_object_require, .help = "All must hold."},
    {"platforms", CONFIG_ENUM, 0, AT(config_raw_policy, platforms), "index", "index|each",
     .help = "Whether an index's signature covers its children, or each is signed itself."},
    {"deny_tags", CONFIG_TEXTS, 0, AT(config_raw_policy, deny_tags),
     .help = "Tags that are refused."},
    {"require_digest", CONFIG_BOOL, 0, AT(config_raw_policy, is_digest_required), "false",
     .help = "Pulls by tag are refused."},
    {"baseline", CONFIG_BOOL, 0, AT(config_raw_policy, is_baseline), "false",
     .help = "Constrains what it matches, but covers nothing."},
    {"on_push", CONFIG_OBJECT, CONFIG_LATER, AT(config_raw_policy, on_push),
     .object = &config_object_on_push, .help = "Pushes by tag."},
};
static OBJECT(policy, config_raw_policy, .help = "What is asked of images.");

static const struct config_field fields_test[] = {
    {"image", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_test, image), .help = "An image."},
    {"covered_by", CONFIG_TEXTS, CONFIG_REQUIRED, AT(config_raw_test, covered_by),
     .help = "Exactly these policies, baselines aside."},
};
static OBJECT(test, config_raw_test, .help = "Run at every load and by check.");

static const struct config_field fields_quota[] = {
    {"requests_per_second", CONFIG_INT, 0, AT(config_quota, requests_per_second), "0",
     .max = 1000000, .help = "Requests of any kind; as many may come at once. 0: no limit."},
    {"concurrent_requests", CONFIG_INT, 0, AT(config_quota, concurrent_requests), "0",
     .max = 1000000, .help = "Requests under way at a time. 0: no limit."},
    {"bytes_per_day", CONFIG_SIZE, 0, AT(config_quota, bytes_per_day), "0",
     .max = INT64_MAX, .help = "Bytes of answers in a day (UTC); what is under way ends. 0: no limit."},
};
static OBJECT(quota, config_quota,
              .help = "What a tenant may use; what is over is answered 429. Counted by each process "
                      "since its start.");

static const struct config_field fields_tenant[] = {
    {"name", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_tenant, tenant_name), .help = "Name."},
    {"hosts", CONFIG_TEXTS, CONFIG_NOT_EMPTY, AT(config_raw_tenant, hosts),
     .help = "Host names that lead here."},
    {"prefix", CONFIG_NAME, 0, AT(config_raw_tenant, prefix),
     .help = "First component that leads here; no dot."},
    {"config", CONFIG_PATH, CONFIG_REQUIRED, AT(config_raw_tenant, config),
     .help = "File with upstreams, roots, signers, policies, exceptions and clients."},
    {"quota", CONFIG_OBJECT, 0, AT(config_raw_tenant, quota), .object = &config_object_quota,
     .help = "What the tenant may use; said here, so that it cannot say it itself."},
};
static OBJECT(tenant, config_raw_tenant, .one_of = "hosts|prefix", .help = "A tenant.");

static const struct config_field fields_file[] = {
    {"listen", CONFIG_OBJECTS, CONFIG_NOT_EMPTY | CONFIG_PROCESS, AT(config_raw, listen), "127.0.0.1:5000",
     .object = &config_object_listen, .help = "Where clients connect."},
    {"admin", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, admin),
     .object = &config_object_admin, .help = "The admin listener."},
    {"webhook", CONFIG_OBJECT, CONFIG_LATER | CONFIG_PROCESS, AT(config_raw, webhook),
     .object = &config_object_webhook, .help = "Admission webhook and Gatekeeper provider."},
    {"workers", CONFIG_INT, CONFIG_PROCESS, AT(config_raw, workers), "auto", "auto", 1, 1024,
     .help = "Worker threads; auto: one per core."},
    {"storage", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, storage),
     .object = &config_object_storage, .help = "Where content and verdicts are kept."},
    {"limits", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, limits),
     .object = &config_object_limits, .help = "Ceilings."},
    {"cache", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, cache),
     .object = &config_object_cache, .help = "Lifetimes."},
    {"audit", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, audit),
     .object = &config_object_audit, .help = "The audit log."},
    {"log", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, log),
     .object = &config_object_log, .help = "Logs besides the audit log."},
    {"fetch", CONFIG_OBJECT, CONFIG_PRESENT | CONFIG_PROCESS, AT(config_raw, fetch),
     .object = &config_object_fetch, .help = "What is fetched beyond the upstreams."},
    {"offline", CONFIG_BOOL, CONFIG_PROCESS, AT(config_raw, is_offline), "false",
     .help = "Whatever still needs the network beyond the upstreams is an error."},
    {"upstreams", CONFIG_NAMED, 0, AT(config_raw, upstreams),
     .object = &config_object_upstream,
     .help = "Registries; image names are NAME/repository. Only a file with tenants may do without."},
    {"default_upstream", CONFIG_TEXT, 0, AT(config_raw, default_upstream),
     .help = "For names without a registry."},
    {"clients", CONFIG_OBJECT, CONFIG_PRESENT, AT(config_raw, clients),
     .object = &config_object_clients, .help = "Who may pull; everybody by default."},
    {"writers", CONFIG_OBJECT, 0, AT(config_raw, writers), .object = &config_object_writers,
     .help = "Who may write; nobody by default."},
    {"roots", CONFIG_NAMED, 0, AT(config_raw, roots), .object = &config_object_root,
     .help = "Trust roots by name."},
    {"signers", CONFIG_NAMED, 0, AT(config_raw, signers), .object = &config_object_signer,
     .help = "Who may sign, by name."},
    {"policies", CONFIG_OBJECTS, 0, AT(config_raw, policies), .object = &config_object_policy,
     .help = "Every policy that covers an image must be satisfied."},
    {"exceptions", CONFIG_PATH, 0, AT(config_raw, exceptions),
     .help = "The exceptions register."},
    {"exceptions_max", CONFIG_DURATION, 0, AT(config_raw, exceptions_max_s), "90d", .min = 60,
     .max = 400 * 86400, .help = "Longest life of an exception; never more than 400d."},
    {"exceptions_approvers", CONFIG_TEXTS, 0, AT(config_raw, exceptions_approvers),
     .help = "Who may approve exceptions."},
    {"tenants", CONFIG_OBJECTS, CONFIG_NOT_EMPTY | CONFIG_PROCESS, AT(config_raw, tenants),
     .object = &config_object_tenant, .help = "Tenants, each with a file of its own."},
    {"quota", CONFIG_OBJECT, CONFIG_PROCESS, AT(config_raw, quota), .object = &config_object_quota,
     .help = "What the main file's own tenant may use."},
    {"tests", CONFIG_OBJECTS, 0, AT(config_raw, tests), .object = &config_object_test,
     .help = "Expectations that are checked at every load."},
};
OBJECT(file, config_raw, .help = "The configuration of a gateway.");

static const struct config_field fields_renewal[] = {
    {"at", CONFIG_START, CONFIG_REQUIRED, AT(config_raw_renewal, at_unix_s), .help = "When."},
    {"by", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_renewal, by), .help = "Who approved it."},
    {"expires", CONFIG_END, CONFIG_REQUIRED, AT(config_raw_renewal, expires_unix_s),
     .help = "The new end."},
};
static OBJECT(renewal, config_raw_renewal, .help = "A renewal; appended, never changed.");

static const struct config_field fields_exception[] = {
    {"id", CONFIG_NAME, CONFIG_REQUIRED, AT(config_raw_exception, id), .help = "Its id."},
    {"images", CONFIG_TEXTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY, AT(config_raw_exception, images),
     .help = "NAME@sha256:…, or a pattern whose registry and first component are literal."},
    {"policies", CONFIG_TEXTS, CONFIG_REQUIRED | CONFIG_NOT_EMPTY,
     AT(config_raw_exception, policies),
     .help = "Policies it is an exception from, or [not_covered] with a digest."},
    {"waive", CONFIG_TEXTS, CONFIG_NOT_EMPTY, AT(config_raw_exception, waive),
     .help = "Requirements, such as signature:ci; all by default."},
    {"owner", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_exception, owner),
     .help = "Who answers for it."},
    {"approved_by", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_exception, approved_by),
     .help = "One of exceptions_approvers, not the owner."},
    {"justification", CONFIG_TEXT, CONFIG_REQUIRED, AT(config_raw_exception, justification),
     .help = "Why."},
    {"compensating_control", CONFIG_TEXT, 0, AT(config_raw_exception, compensating_control), "",
     .help = "What protects meanwhile."},
    {"created", CONFIG_START, CONFIG_REQUIRED, AT(config_raw_exception, created_unix_s),
     .help = "When it begins."},
    {"expires", CONFIG_END, CONFIG_REQUIRED, AT(config_raw_exception, expires_unix_s),
     .help = "When it ends; within exceptions_max of created."},
    {"renewals", CONFIG_OBJECTS, 0, AT(config_raw_exception, renewals),
     .object = &config_object_renewal, .help = "Appended, never changed."},
};
static OBJECT(exception, config_raw_exception, .help = "A dated exception from policies.");

static const struct config_field fields_register[] = {
    {"exceptions", CONFIG_OBJECTS, 0, AT(config_raw_register, exceptions),
     .object = &config_object_exception, .help = "The exceptions."},
};
OBJECT(register, config_raw_register, .help = "The exceptions register.");
/* clang-format on */
