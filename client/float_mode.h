/* The floating-point control register at its default while we add up, and the caller's put back.
 *
 * Trainers run our code with flush-to-zero and denormals-are-zero set, with other roundings, even
 * with traps unmasked; and the sticky exception flags are theirs too. Nothing of it may reach our
 * sums, nothing of ours may reach them. The compiler does not order arithmetic around these calls:
 * what is between them must be a function that is not inlined.
 */
#ifndef EMBMON_CLIENT_FLOAT_MODE_H
#define EMBMON_CLIENT_FLOAT_MODE_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

struct float_mode {
    uint32_t control;
};

static inline struct float_mode float_mode_enter(void)
{
    struct float_mode saved = {_mm_getcsr()};

    _mm_setcsr(0x1f80); /* round to nearest, all traps masked, subnormals kept */
    return saved;
}

static inline void float_mode_leave(struct float_mode saved)
{
    _mm_setcsr(saved.control);
}

#elif defined(__aarch64__)

struct float_mode {
    uint64_t control, status;
};

static inline struct float_mode float_mode_enter(void)
{
    struct float_mode saved;

    __asm__ volatile("mrs %0, fpcr" : "=r"(saved.control));
    __asm__ volatile("mrs %0, fpsr" : "=r"(saved.status));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return saved;
}

static inline void float_mode_leave(struct float_mode saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved.control) : "memory");
    __asm__ volatile("msr fpsr, %0" : : "r"(saved.status) : "memory");
}

#else
#error "embmond knows the floating-point control register of x86-64 and aarch64 only"
#endif

#endif
