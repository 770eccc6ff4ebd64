: Sodium of the apical tree, g m^3 h.
NEURON { SUFFIX apical_sodium NONSPECIFIC_CURRENT i RANGE g, e }
UNITS { (mV) = (millivolt) (S) = (siemens) (mA) = (milliamp) }
PARAMETER { g = 0 (S/cm2) e = 50 (mV) }
ASSIGNED { v (mV) i (mA/cm2) m_inf h_inf tau_m (ms) tau_h (ms) }
STATE { m h }
INITIAL { rates(v) m = m_inf h = h_inf }
BREAKPOINT { SOLVE gates METHOD cnexp i = g*m*m*m*h*(v - e) }
DERIVATIVE gates { rates(v) m' = (m_inf - m)/tau_m h' = (h_inf - h)/tau_h }
FUNCTION linoid(a, x, q) { if (fabs(x) > 1e-6) { linoid = a*x/(1 - exp(-x/q)) } else { linoid = a*(q + x/2) } }
PROCEDURE rates(v (mV)) { LOCAL a, b, speed
  speed = 2.95288264141212 : 2.3^1.3
  a = linoid(0.182, v + 38, 6) b = linoid(0.124, -(v + 38), 6) m_inf = a/(a + b) tau_m = 1/((a + b)*speed)
  a = linoid(0.015, -(v + 66), 6) b = linoid(0.015, v + 66, 6) h_inf = a/(a + b) tau_h = 1/((a + b)*speed)
}
