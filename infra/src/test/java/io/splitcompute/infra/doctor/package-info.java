@NullMarked
package io.splitcompute.infra.doctor;

import org.jspecify.annotations.NullMarked;
