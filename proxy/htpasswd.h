/*
 * Users and bcrypt hashes of an htpasswd file, and checking a password against them. Checking costs
 * tens of milliseconds by design: it runs on helper threads, and what was accepted is remembered
 * for a short while under a keyed hash, so that one client's hundred requests cost one check.
 *
 * Threads: the user table is immutable after parsing; the memory of accepted passwords is locked.
 */
#ifndef PROXY_HTPASSWD_H
#define PROXY_HTPASSWD_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct htpasswd;

#define HTPASSWD_MAX_USERS 10000
#define HTPASSWD_MAX_USER 128
#define HTPASSWD_MAX_PASSWORD 256
#define HTPASSWD_REMEMBER_MS 300000

/*
 * Read `user:$2y$…` lines; empty lines and lines that begin with '#' are skipped. Only bcrypt is
 * accepted: the other schemes of Apache's tool are too cheap to attack.
 *
 * Gives: *out: new, htpasswd_free()
 * Fails: POLICY_DENIED naming the line
 */
GH_CHECKED bool htpasswd_parse(struct bytes text, struct htpasswd **out, struct gh_error *err);
void htpasswd_free(struct htpasswd *htpasswd);
GH_DEFINE_FREEP(htpasswd, struct htpasswd)

/*
 * Read the value of an Authorization header with the Basic scheme.
 *
 * Spec:  RFC 7617; the user name ends at the first colon
 * Gives: user and password, NUL-terminated; false where the value is anything else
 */
bool htpasswd_read_basic(struct bytes value, char user[HTPASSWD_MAX_USER + 1],
                         char password[HTPASSWD_MAX_PASSWORD + 1]);

/* Whether this pair was accepted within HTPASSWD_REMEMBER_MS. Cheap. */
bool htpasswd_is_remembered(struct htpasswd *htpasswd, const char *user, const char *password,
                            int64_t now_ms);
/* Check by bcrypt; remembers what is right. Unknown users cost as much as known ones. Blocking. */
bool htpasswd_check(struct htpasswd *htpasswd, const char *user, const char *password,
                    int64_t now_ms);

#endif
