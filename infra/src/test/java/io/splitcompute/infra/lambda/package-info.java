@NullMarked
package io.splitcompute.infra.lambda;

import org.jspecify.annotations.NullMarked;
