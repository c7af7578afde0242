/*
 * What the description of the language reads files into where that is not yet what the shell or
 * the decision uses. Only config*.c, trust.c and the importers' tests look at these.
 */
#ifndef POLICY_CONFIG_RAW_H
#define POLICY_CONFIG_RAW_H

#include "gatehouse.h"
#include "policy/config.h"

struct config_raw_root {
    struct config_at at;
    const char *tuf;
    const char *initial_root;
    int64_t max_age_s;
    const char *trusted_root;
    struct config_strings ca;
    struct config_strings signing_authority;
    struct config_strings tsa;
    struct config_strings crl;
    int64_t probe_s;
};

struct config_raw_revoked {
    struct config_at at;
    int64_t at_unix_s;
    int reason; /* compromise | superseded | retired */
    const char *note;
};

struct config_raw_key {
    struct config_at at;
    const char *file;
    const char *pkcs11;
    const char *kms;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
    struct config_raw_revoked *revoked;
};

struct config_raw_keys {
    struct config_raw_key *items;
    size_t count;
};

struct config_raw_witness {
    struct config_at at;
    const char *name; /* as it stands in signed notes */
    const char *file;
};

struct config_raw_witness_list {
    struct config_raw_witness *items;
    size_t count;
};

struct config_raw_witnesses {
    struct config_at at;
    int64_t threshold;
    struct config_raw_witness_list keys;
};

/* How many have to vouch, for keys and for identities. */
struct config_raw_thresholds {
    int64_t tlog;
    int64_t timestamp;
    int64_t sct; /* identities */
    struct config_raw_witnesses *witnesses;
};

struct config_raw_keyless {
    struct config_at at;
    const char *root;
    const char *issuer;
    const char *issuer_regex;
    const char *subject;
    const char *subject_regex;
    struct config_pairs claims;
    int tlog;      /* required | off */
    int timestamp; /* required | optional */
    int sct;       /* required | off */
    struct config_raw_thresholds thresholds;
};

struct config_raw_override {
    struct config_at at;
    int authenticity; /* 0: by level; enforce | log [| skip] */
    int authentic_timestamp;
    int expiry;
    int revocation;
};

struct config_raw_notation {
    struct config_at at;
    const char *root;
    struct config_strings identities;
    int level; /* strict | permissive | audit */
    struct config_raw_override *override;
    int verify_timestamp; /* always | after_cert_expiry */
};

struct config_raw_match {
    struct config_at at;
    const char *exact;
    const char *repository;
    struct config_strings remap;
};

struct config_raw_openpgp {
    struct config_at at;
    const char *keyring;
    const char *lookaside;
    const struct yaml_node *match_reference;
};

struct config_raw_dct {
    struct config_at at;
    const char *server;
    const char *root;
    int64_t until_unix_s;
};

struct config_raw_attestor_key {
    struct config_at at;
    const char *file;
    const char *id;
};

struct config_raw_attestor_keys {
    struct config_raw_attestor_key *items;
    size_t count;
};

struct config_raw_binauthz {
    struct config_at at;
    const char *attestor;
    struct config_raw_attestor_keys keys;
    const char *occurrences;
};

struct config_raw_signer {
    struct config_at at;
    struct config_raw_keys keys;
    int tlog;      /* required | off */
    int timestamp; /* required | optional */
    struct config_raw_thresholds thresholds;
    const char *root;
    int match_reference; /* off | repository | exact */
    const char *signature_repository;
    bool is_emergency;
    struct config_raw_keyless *keyless;
    struct config_raw_notation *notation;
    struct config_raw_openpgp *openpgp;
    struct config_raw_dct *dct;
    struct config_raw_binauthz *binauthz;
};

struct config_raw_signers {
    struct config_raw_signer *items;
    size_t count;
};

struct config_raw_roots {
    struct config_raw_root *items;
    size_t count;
};

struct config_raw_where {
    struct config_at at;
    const char *path;
    const struct yaml_node *equals, *not_equals, *in, *not_in, *matches, *min, *max;
    const struct yaml_node *exists;
    bool is_any;
};

struct config_raw_wheres {
    struct config_raw_where *items;
    size_t count;
};

struct config_raw_base {
    struct config_at at;
    const char *signer;
    int from; /* annotation | provenance */
    const char *provenance_signer;
};

struct config_raw_require;

struct config_raw_requires {
    struct config_raw_require *items;
    size_t count;
};

struct config_raw_require {
    struct config_at at;
    const char *signature;
    struct config_pairs annotations;
    struct config_pairs metadata;
    struct config_raw_requires any, all, of;
    int64_t at_least;
    const char *attestation;
    const char *signer;
    const struct yaml_node *check;
    int64_t max_age_s;
    bool is_every;
    struct config_raw_wheres where;
    struct config_raw_base *base_image;
};

struct config_raw_stage {
    struct config_at at;
    int mode;
    int64_t until_unix_s;
};

struct config_raw_stages {
    struct config_raw_stage *items;
    size_t count;
};

struct config_raw_on_push {
    struct config_at at;
    int mode; /* deny | quarantine | off */
    int64_t pending_ttl_s;
};

struct config_raw_policy {
    struct config_at at;
    const char *policy_name;
    const char *owner;
    struct config_strings images;
    struct config_strings except;
    int mode;
    struct config_raw_stages rollout;
    struct config_raw_requires require;
    int platforms;
    struct config_strings deny_tags;
    bool is_digest_required;
    bool is_baseline;
    struct config_raw_on_push *on_push;
};

struct config_raw_policies {
    struct config_raw_policy *items;
    size_t count;
};

struct config_raw_test {
    struct config_at at;
    const char *image;
    struct config_strings covered_by;
};

struct config_raw_tests {
    struct config_raw_test *items;
    size_t count;
};

struct config_raw_writers {
    struct config_at at;
    struct config_strings push;
    struct config_strings remove;
};

struct config_raw_tenant {
    struct config_at at;
    const char *tenant_name;
    struct config_strings hosts;
    const char *prefix;
    const char *config;
    struct config_quota *quota;
};

struct config_raw_tenants {
    struct config_raw_tenant *items;
    size_t count;
};

struct config_raw {
    struct config_at at;
    struct config_listens listen;
    struct config_admin *admin;
    struct config_listen *webhook;
    int64_t workers;
    struct config_storage *storage;
    struct config_limits *limits;
    struct config_cache *cache;
    struct config_audit *audit;
    struct config_log *log;
    struct config_fetch *fetch;
    bool is_offline;
    struct config_upstreams upstreams;
    const char *default_upstream;
    struct config_clients *clients;
    struct config_raw_writers *writers;
    struct config_raw_roots roots;
    struct config_raw_signers signers;
    struct config_raw_policies policies;
    const char *exceptions;
    int64_t exceptions_max_s;
    struct config_strings exceptions_approvers;
    struct config_raw_tenants tenants;
    struct config_quota *quota;
    struct config_raw_tests tests;
};

struct config_raw_renewal {
    struct config_at at;
    int64_t at_unix_s;
    const char *by;
    int64_t expires_unix_s;
};

struct config_raw_renewals {
    struct config_raw_renewal *items;
    size_t count;
};

struct config_raw_exception {
    struct config_at at;
    const char *id;
    struct config_strings images;
    struct config_strings policies;
    struct config_strings waive;
    const char *owner;
    const char *approved_by;
    const char *justification;
    const char *compensating_control;
    int64_t created_unix_s;
    int64_t expires_unix_s;
    struct config_raw_renewals renewals;
};

struct config_raw_exceptions {
    struct config_raw_exception *items;
    size_t count;
};

struct config_raw_register {
    struct config_at at;
    struct config_raw_exceptions exceptions;
};

#endif
