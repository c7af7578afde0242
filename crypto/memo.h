/*
 * A bounded memory of what has been proved and cannot change: signatures of one certificate
 * authority over another, tree heads signed by a log. It holds digests of complete statements
 * ("this key signed these bytes"), never anything with a time or a policy in it, so that an entry
 * is true for as long as it is kept. When it is full the oldest entries go.
 *
 * Threads: any; internally synchronised by one lock that is held for a table look-up only and
 * under which nothing else is called.
 */
#ifndef CRYPTO_MEMO_H
#define CRYPTO_MEMO_H

#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;
struct memo;

#define MEMO_SLOTS 1024

/* Gives: *out: new, memo_free(). Fails: INTERNAL_ERROR. */
GH_CHECKED bool memo_new(struct memo **out, struct gh_error *err);
void memo_free(struct memo *memo);
GH_DEFINE_FREEP(memo, struct memo)

/*
 * The name of a statement: SHA-256 over the parts, each behind its length, LABEL first.
 * Fails: INTERNAL_ERROR.
 */
GH_CHECKED bool memo_name(const char *label, const struct bytes *parts, size_t count,
                          struct digest *out, struct gh_error *err);
/* Whether it was proved before. A NULL memo knows nothing. */
bool memo_has(struct memo *memo, const struct digest *name);
/* Remember that it was proved. Does nothing with a NULL memo. */
void memo_add(struct memo *memo, const struct digest *name);

#endif
