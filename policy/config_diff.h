/*
 * What a reload changes, one change at a time: settings and upstreams, and by tenant the policies,
 * signers, keys and exceptions. The audit log takes each as a record.
 *
 * Threads: any; pure
 */
#ifndef POLICY_CONFIG_DIFF_H
#define POLICY_CONFIG_DIFF_H

#include "gatehouse.h"

struct config;

/* Borrowed for the call. */
struct config_change {
    const char *tenant; /* "" for what concerns all */
    const char *kind;   /* "setting", "upstream", "root", "tenant", "quota", "policy", "signer",
                           "exception" */
    const char *name;
    const char *what;   /* "added", "removed", or what of it changed */
    const char *before; /* NULL: there was none */
    const char *after;  /* NULL: there is none */
};

typedef void (*config_diff_fn)(const struct config_change *change, void *arg);

/*
 * Call FN with every change from BEFORE to AFTER. Modes and exceptions count as they are at NOW.
 * Secrets are compared, never shown.
 *
 * Gives: how many there were
 */
size_t config_diff(const struct config *before, const struct config *after, int64_t now_unix_s,
                   config_diff_fn fn, void *arg);

#endif
