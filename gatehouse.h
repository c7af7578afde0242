/*
 * Macros shared by every folder. This header defines no type and includes nothing of ours.
 */
#ifndef GATEHOUSE_H
#define GATEHOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A result that must not be dropped: every fallible function carries it. */
#define GH_CHECKED __attribute__((warn_unused_result))

/* A local that owns what it points to; FREEP takes the address of the local. */
#define GH_OWN(freep) __attribute__((cleanup(freep)))

/* Hands an owned pointer over and leaves NULL behind. */
#define GH_TAKE(ptr)                                                                               \
    ({                                                                                             \
        __typeof__(ptr) gh_taken_ = (ptr);                                                         \
        (ptr) = NULL;                                                                              \
        gh_taken_;                                                                                 \
    })

/* Returns false from the caller when CALL did. The only macro that hides a branch. */
#define GH_TRY(call)                                                                               \
    do {                                                                                           \
        if (!(call)) {                                                                             \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

#define GH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define GH_UNUSED __attribute__((unused))
#define GH_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GH_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GH_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Declares void PREFIX_freep(TYPE **) for use with GH_OWN; goes beside PREFIX_free(). */
#define GH_DEFINE_FREEP(prefix, type)                                                              \
    GH_UNUSED static inline void prefix##_freep(type **ptr)                                        \
    {                                                                                              \
        if (*ptr != NULL) {                                                                        \
            prefix##_free(*ptr);                                                                   \
            *ptr = NULL;                                                                           \
        }                                                                                          \
    }

/*
 * Lock ranks. A thread may only take a lock whose rank is higher than any it holds; a debug build
 * aborts where that order is broken (metrics/lock.h).
 */
#define GH_RANK_RELOAD 5         /* one reload at a time */
#define GH_RANK_CONFIG 10        /* configuration snapshot pointer */
#define GH_RANK_GATE 20          /* verifications in flight */
#define GH_RANK_SESSION 25       /* credentials that clients pass through */
#define GH_RANK_FILL 30          /* fills in flight */
#define GH_RANK_UPSTREAM 40      /* upstream limits, breakers, token cache */
#define GH_RANK_RECENT 45        /* manifests served lately */
#define GH_RANK_VERDICT 50       /* verdict cache shards */
#define GH_RANK_STORE 60         /* content index and staging */
#define GH_RANK_STORE_QUEUE 62   /* changes waiting for the store's writer */
#define GH_RANK_STORE_PENDING 64 /* what readers see of them; read transactions */
#define GH_RANK_LIMIT 70         /* per-address connection limits */
#define GH_RANK_HELPER 80        /* helper queues */
#define GH_RANK_MAILBOX 90       /* worker mailboxes */
#define GH_RANK_AUDIT_SYNC 98    /* syncing and rotating the audit log */
#define GH_RANK_AUDIT 100        /* appending to it */
#define GH_RANK_LOG 110          /* log sinks */
#define GH_RANK_METRICS 120      /* metric series coming into being; the innermost */

#endif
