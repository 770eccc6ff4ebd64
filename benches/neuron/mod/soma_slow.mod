: Slow potassium of the soma, g a^2 (b + b1)/2; g includes the temperature.
NEURON { SUFFIX soma_slow NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -80 (mV) }
ASSIGNED { v (mV) i (mA/cm2) a_inf b_inf tau_a (ms) tau_b (ms) tau_b1 (ms) }
STATE { a b b1 }
INITIAL { rates(v) a = a_inf b = b_inf b1 = b_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*a*a*(b + b1)/2*(v - e) }
DERIVATIVE gates { rates(v) a' = (a_inf - a)/tau_a b' = (b_inf - b)/tau_b b1' = (b_inf - b1)/tau_b1 }
FUNCTION linoid(a, x, q) { if (fabs(x) > 1e-6) { linoid = a*x/(1 - exp(-x/q)) } else { linoid = a*(q + x/2) } }
PROCEDURE rates(v (mV)) { LOCAL opening, closing
  opening = linoid(0.0052, v - 11.1, 13.1)
  closing = 0.01938*exp(-(v + 1.27)/71) - 0.0053
  a_inf = opening/(opening + closing) tau_a = 1/(opening + closing)
  b_inf = 1/(1 + exp((v + 58)/11))
  tau_b = 360 + (1010 + 23.7*(v + 54))*exp(-((v + 75)/48)^2)
  tau_b1 = 2350 + 1380*exp(-0.01118*v) - 210*exp(-0.0306*v)
}
