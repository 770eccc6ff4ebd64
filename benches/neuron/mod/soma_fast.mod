: Fast potassium of the soma, g n, from a table of 200 points; g includes the temperature.
NEURON { SUFFIX soma_fast NONSPECIFIC_CURRENT i RANGE g, e GLOBAL n_inf, tau_n }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = -80 (mV) }
ASSIGNED { v (mV) i (mA/cm2) n_inf tau_n (ms) }
STATE { n }
INITIAL { rates(v) n = n_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*n*(v - e) }
DERIVATIVE gates { rates(v) n' = (n_inf - n)/tau_n }
FUNCTION linoid(a, x, q) { if (fabs(x) > 1e-6) { linoid = a*x/(1 - exp(-x/q)) } else { linoid = a*(q + x/2) } }
PROCEDURE rates(v (mV)) { LOCAL a, b
  TABLE n_inf, tau_n FROM -120 TO 100 WITH 199
  a = linoid(0.02, v - 25, 9) b = linoid(0.002, -(v - 25), 9) n_inf = a/(a + b) tau_n = 1/((a + b)*2.3^1.4)
}
